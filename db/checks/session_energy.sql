-- A completed session without flags was delivered what its meter counted from start to end.
select station_id, id as session, energy_wh, meter_end_wh - meter_start_wh as metered_wh
from session
where state = 'completed'
and flags = '{}'
and revision = 1
and energy_wh is distinct from meter_end_wh - meter_start_wh
