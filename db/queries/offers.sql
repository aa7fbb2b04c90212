-- Vehicles, what they are offered, and the history by which that is chosen.

-- name: list_usage_segments
-- A driver's quarters of an hour from $2 to $3, session by session; `since`: when the very first one was. A session that
-- began before $2 is none of them.
select u.session_id, u.station_id, u.at, u.wh, u.seconds,
    (select min(f.at) from usage_segment f where f.driver_id = $1) as since
from (
    select session_id, station_id, at, wh, seconds
    from usage_segment
    where driver_id = $1
    and at >= $2
    and at < $3
    order by at desc
    limit $4) u
where not exists (
    select from usage_segment e
    where e.driver_id = $1
    and e.session_id = u.session_id
    and e.at >= $2::timestamptz - interval '1 hour'
    and e.at < $2)
order by u.session_id, u.at;

-- name: list_tariffs_of_stations
-- What is asked at these stations now ($2), whose they are, and the zone of their site.
select s.id, s.site_id, s.provider_id, site.time_zone, t.document::text as document
from station s
join lateral (
    select t.document
    from tariff t
    where t.id = s.tariff_id
    and (t.valid_from is null or t.valid_from <= $2)
    and (t.valid_until is null or t.valid_until > $2)
    order by t.version desc
    limit 1) t on true
left join site on site.id = s.site_id
where s.id = any ($1::text[]);

-- name: add_vehicle
-- A vehicle of a driver, who may have it already; proven if $7 says how. No row comes back when it is another's.
insert into vehicle (id, driver_id, kind, key, masked, vehicle_class, proven_at, proof, created_at)
select $1, $2, $3, $4, $5, $6, case when $7::text is not null then $8::timestamptz end, $7::text, $8::timestamptz
where not exists (
    select from vehicle o
    where o.kind = $3
    and o.key = $4
    and o.driver_id <> $2
    and o.proven_at is not null)
on conflict (driver_id, kind, key) do update
set vehicle_class = coalesce(excluded.vehicle_class, vehicle.vehicle_class),
    proven_at = coalesce(vehicle.proven_at, excluded.proven_at),
    proof = coalesce(vehicle.proof, excluded.proof)
returning id, xmax = 0 as is_new;

-- name: show_vehicle
-- A vehicle that the client may know of.
select v.id, v.driver_id, v.kind, v.key, v.masked, v.vehicle_class, v.proven_at, v.proof, v.created_at
from vehicle v
where v.id = $1;

-- name: list_vehicles
-- A driver's vehicles, by id.
select id, driver_id, kind, key, masked, vehicle_class, proven_at, proof, created_at
from vehicle
where driver_id = $1
and id > $2
order by id
limit $3;

-- name: count_vehicles
-- How many vehicles a driver has.
select count(*)
from vehicle
where driver_id = $1;

-- name: drop_vehicle
-- Takes a vehicle away from its driver; no row comes back when it is not there.
delete from vehicle
where id = $1
and driver_id = $2
returning id;

-- name: find_proven_vehicle
-- The vehicle behind an identification that is proven, and its driver.
select id, driver_id
from vehicle
where kind = $1
and key = $2
and proven_at is not null;

-- name: charged_with
-- Whether a driver has charged with this token.
select exists (
    select from session
    where driver_id = $1
    and token_key = $2
    and started_at is not null
    and state <> 'invalid');

-- name: prove_vehicle
-- How it was proven whose a vehicle is, the first time.
update vehicle
set proven_at = $2, proof = $3
where id = $1
and proven_at is null;
