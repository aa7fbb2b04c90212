-- A door is kept for a rental that may still take its item, or a swap that goes on; one grant at a time opens it.
select d.station_id, d.unit, 'kept for something that is ' || coalesce(r.state, w.state, 'not there') as wrong
from door d
left join rental r on r.id = d.reserved_for
left join swap w on w.id = d.reserved_for
where d.reserved_for is not null
and coalesce(r.state, '') not in ('requested', 'opening', 'provisional', 'returning')
and (w.id is null or w.ended_at is not null)
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
