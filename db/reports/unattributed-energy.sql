-- Energy that meters counted between two sessions, which nobody paid for.
-- as_of is refused: a gap grows until the next session begins
-- $1 from: read at this time or later
-- $2 to: read before this time
-- $3 provider: at this provider's stations only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 station: at this station
select u.at, s.provider_id as provider, u.station_id as station, u.connector, u.from_wh, u.to_wh,
    u.to_wh - u.from_wh as energy_wh, u.after_session, u.before_session,
    json_build_array(u.at, u.station_id, u.connector::text, u.from_wh::text)::text as _cursor,
    json_build_object('path', '/sessions/' || u.after_session)::text as _link
from unattributed_energy u
join station s on s.id = u.station_id
where u.at >= coalesce($1::timestamptz, '-infinity')
and u.at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or s.provider_id = $3)
and ($6::text is null or u.station_id = $6)
and ($4::jsonb is null or (u.at, u.station_id, u.connector, u.from_wh) > (
    ($4::jsonb ->> 0)::timestamptz, $4::jsonb ->> 1, ($4::jsonb ->> 2)::integer, ($4::jsonb ->> 3)::bigint))
order by u.at, u.station_id, u.connector, u.from_wh
limit $5::bigint
