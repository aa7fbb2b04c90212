-- Every completed session has a bill, no other session has one that stands; zero energy gives a bill of nothing.
select s.station_id, s.id as session, s.state, 'no bill' as wrong
from session s
where s.state in ('completed', 'provisional')
and not exists (select from bill b where b.session_id = s.id)
union all
select b.station_id, b.session_id, s.state, 'a bill'
from bill b
left join session s on s.station_id = b.station_id and s.id = b.session_id
where coalesce(s.state, '') not in ('completed', 'provisional')
group by b.station_id, b.session_id, s.state
having sum(b.total_minor) <> 0 or s.state is distinct from 'review'
