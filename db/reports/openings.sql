-- Who had which door opened, why, how they proved that they stood there, what became of it; in the order of the asking.
-- as_of is refused: an opening changes until its door has opened or its time is over
-- $1 from: asked for at this time or later
-- $2 to: asked for before this time
-- $3 provider: of this provider's cabinets only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 station: of this cabinet
-- $7 driver: for this driver
select g.id as opening, g.issued_at as asked_at, s.provider_id as provider, g.station_id as station,
    g.unit as connector, g.why, g.by_whom as asked_by, g.proof, g.reason, g.driver_id as driver, g.rental_id as rental,
    g.item, g.attempt, g.state as result, g.error, g.opened_at, g.ended_at,
    json_build_array(g.issued_at, g.id)::text as _cursor,
    json_build_object('path', coalesce('/rentals/' || g.rental_id,
        '/stations/' || g.station_id || '/openings'))::text as _link
from door_grant g
join station s on s.id = g.station_id
where g.issued_at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity'))
and g.issued_at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or s.provider_id = $3)
and ($6::text is null or g.station_id = $6)
and ($7::text is null or g.driver_id = $7)
and ($4::jsonb is null
    or (g.issued_at, g.id) > (($4::jsonb ->> 0)::timestamptz, ($4::jsonb ->> 1)::uuid))
order by g.issued_at, g.id
limit $5::bigint
