-- What people asked to be changed, in order: who, when, which address, of what, and how it was answered.
-- as_of is refused: the trail only grows, at its end; give `to`
-- $1 from: asked at this time or later
-- $2 to: asked before this time
-- $3 provider: by this provider's staff only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
select e.n, e.at, e.client, e.provider_id as provider, e.driver_id as driver, e.method, e.route,
    e.object::text as object, e.status, e.request_id, encode(e.hash, 'hex') as hash,
    json_build_array(e.n::text)::text as _cursor
from audit_event e
where e.at >= coalesce($1::timestamptz, '-infinity')
and e.at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or e.provider_id = $3)
and e.n > coalesce(($4::jsonb ->> 0)::bigint, 0)
order by e.n
limit $5::bigint
