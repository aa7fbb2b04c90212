-- Every rental in the order of the asking: what was lent to whom, from where to where, how late, and what it cost.
-- as_of is refused: a rental changes until it is settled; `bills` and `revenue` tell what was charged as of an instant
-- $1 from: asked for at this time or later
-- $2 to: asked for before this time
-- $3 provider: at this provider's cabinets only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 station: taken at this cabinet
-- $7 driver: by this driver
select r.id as rental, r.requested_at as asked_at, r.provider_id as provider, r.station_id as station,
    r.unit as connector, r.item, r.item_type, r.driver_id as driver, r.state as stands, r.reason,
    array_to_string(r.flags, ' ') as flags, r.proof, r.taken_at, r.due_at, r.returned_at, r.return_station,
    r.return_unit as return_connector,
    floor(extract(epoch from r.returned_at - r.taken_at))::bigint as held_s,
    greatest(0, floor(extract(epoch from r.returned_at - r.due_at)))::bigint as late_s, r.outage_s, s.currency,
    s.hold_minor, s.fee_minor, r.damage_minor, r.closed_at, json_build_array(r.requested_at, r.id)::text as _cursor,
    json_build_object('path', '/rentals/' || r.id)::text as _link
from rental r
left join lateral (
    select * from session where session.station_id = r.station_id and session.id = r.id limit 1) s on true
where r.requested_at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity'))
and r.requested_at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or r.provider_id = $3)
and ($6::text is null or r.station_id = $6)
and ($7::text is null or r.driver_id = $7)
and ($4::jsonb is null
    or (r.requested_at, r.id) > (($4::jsonb ->> 0)::timestamptz, ($4::jsonb ->> 1)::uuid))
order by r.requested_at, r.id
limit $5::bigint
