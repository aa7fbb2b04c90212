-- A session that ended over an hour ago is settled or listed; the newest session tells the system's time.
select s.station_id, s.id as session, s.state, s.ended_at
from session s
where (
    s.state = 'review'
    or s.state in ('pending', 'active', 'incomplete')
    and s.ended_at < (select max(greatest(opened_at, closed_at)) from session) - interval '1 hour')
and not exists (
    select from exception e
    where e.ref in (s.id::text, 'session/' || s.id::text))
