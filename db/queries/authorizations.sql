-- name: find_authorization
-- What a psp must be told to release authorization $1, or to send back what was paid with it.
select id, psp, policy, psp_ref, state, driver_id, amount_minor, currency
from psp_authorization
where id = $1;

-- name: end_voids
-- The psp holds nothing any more for authorizations $1.
update psp_authorization
set state = 'voided', version = version + 1
where id = any($1::uuid[])
and state in ('voiding', 'used');

-- name: unused_authorizations
-- At most $2 accepted authorizations that no start has used since instant $1.
select id, version
from psp_authorization
where state = 'authorized'
and asked_at < $1
and coalesce(decided_at, asked_at) < $1
order by asked_at
limit $2;

-- name: begin_voids
-- Takes unused authorizations $1, still at versions $2, out of use; answers those that were.
update psp_authorization a
set state = 'voiding', reason = 'unused', version = a.version + 1
from unnest($1::uuid[], $2::integer[]) u (id, version)
where a.id = u.id
and a.version = u.version
and a.state = 'authorized'
returning a.id;

-- name: undecided_authorizations
-- At most $1 asks without a verdict, those first for which a station may wait; callers know which are still worked on.
select id, station_id, psp, policy, state
from psp_authorization
where state in ('asking', 'timed_out')
order by state = 'timed_out', asked_at
limit $1;
