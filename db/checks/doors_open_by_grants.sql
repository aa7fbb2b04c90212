-- A door is kept for a rental that may still take its item, and opened by one grant at a time, after it was given.
select d.station_id, d.unit, 'kept for a rental that is ' || coalesce(r.state, 'not there') as wrong
from door d
left join rental r on r.id = d.reserved_for
where d.reserved_for is not null
and coalesce(r.state, '') not in ('requested', 'opening', 'provisional', 'returning')
union all
select g.station_id, g.unit, 'two live grants'
from door_grant g
where g.state in ('issued', 'sent', 'accepted')
group by g.station_id, g.unit
having count(*) > 1
union all
select g.station_id, g.unit, 'opened before it might be'
from door_grant g
where g.opened_at < g.issued_at - interval '5 minutes'
