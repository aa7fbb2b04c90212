-- A rental and the session that is its money agree: held while it is open, billed when it is over, refused with it.
-- The invariant of `opening` is liveness too: without a live grant its hold would stay for ever.
select r.id as rental, r.state, s.state as session, r.item
from rental r
left join session s on s.station_id = r.station_id and s.id = r.id
where s.use is distinct from 'rental'
or s.state <> all (case r.state
    when 'requested' then array['pending', 'active']
    when 'refused' then array['invalid']
    when 'cancelled' then array['completed', 'invalid']
    when 'closed' then array['completed']
    when 'deemed' then array['completed']
    else array['active'] end)
or r.state = 'opening' and not exists (
    select from door_grant g
    where g.rental_id = r.id
    and (g.state in ('issued', 'sent', 'accepted', 'used')))
