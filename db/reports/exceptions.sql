-- What people must look at, or have looked at: since when, who minds it, how it ended.
-- as_of is refused: exceptions are resolved; ask for `state` and the time they were opened
-- $1 from: opened at this time or later
-- $2 to: opened before this time
-- $3 after: go on after this row
-- $4 limit: at most so many rows
-- $5 kind: of this kind
-- $6 owner: minded by this person
-- $7 state: `open` or `resolved`
select e.id as exception, e.kind, e.ref, e.station_id as station, e.opened_at, e.owner, e.resolved_at, e.resolved_by,
    e.resolution, e.details::text as details, json_build_array(e.opened_at, e.id)::text as _cursor,
    case when e.kind in ('session_review', 'session_unsettled')
        then json_build_object('path', '/sessions/' || e.ref)::text end as _link
from exception e
where e.opened_at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($3::jsonb ->> 0)::timestamptz, '-infinity'))
and e.opened_at < coalesce($2::timestamptz, 'infinity')
and ($5::text is null or e.kind = $5)
and ($6::text is null or e.owner = $6)
and ($7::text is null or (e.resolved_at is null) = ($7 = 'open'))
and ($3::jsonb is null
    or (e.opened_at, e.id) > (($3::jsonb ->> 0)::timestamptz, ($3::jsonb ->> 1)::uuid))
order by e.opened_at, e.id
limit $4::bigint
