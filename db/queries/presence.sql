-- What cabinets take as proof of presence, and proofs that were used.

-- name: put_presence
-- Sets what a cabinet takes as proof, and where it stands; without a new secret the one that there is stays.
insert into cabinet_presence (
    station_id, methods, secret, latitude, longitude, radius_m, accuracy_m_max, changed_at)
values (
    $1, $2, coalesce($3, (select secret from cabinet_presence where station_id = $1)), $4, $5, $6, $7, $8)
on conflict (station_id) do update
set methods = excluded.methods, secret = excluded.secret,
    latitude = excluded.latitude, longitude = excluded.longitude, radius_m = excluded.radius_m,
    accuracy_m_max = excluded.accuracy_m_max, changed_at = excluded.changed_at;

-- name: show_presence
-- A station, whether it has doors or slots, and what it takes as proof.
select s.id, s.kind, s.epoch, p.methods, p.secret, p.latitude, p.longitude, p.radius_m, p.accuracy_m_max, p.changed_at,
    exists (select from connector c where c.station_id = s.id and c.number = $2) as has_connector
from station s
left join cabinet_presence p on p.station_id = s.id
where s.id = $1;

-- name: use_proof
-- Uses a proof up for a request; no row comes back when another request, or another driver, has used it.
insert into presence_use (once, station_id, driver_id, method, request_id, used_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (once) do update
set once = excluded.once
where presence_use.request_id = excluded.request_id
and presence_use.driver_id is not distinct from excluded.driver_id
returning true;

-- name: give_proof_back
-- A request opened nothing: its proof, and its key, may be used again.
with given as (
    delete from presence_use where request_id = $1)
delete from idempotency_key
where client_id = $2
and key = $3;

-- name: find_cabinets
-- Cabinets, the nearest to ($1, $2) first (by id without a place), with their free doors and the items that are ready;
-- only such as are connected with a free door for items of kind $3 (or any), or a ready item of type $4; on the map if
-- $5; at most $8, after ($6, $7).
with cabinets as (
    select s.id, s.kind, s.provider_id, p.latitude, p.longitude,
        exists (
            select from station_outage o
            where o.station_id = s.id
            and o.until_at is null) as is_away,
        coalesce(12742000 * asin(least(1, sqrt(
            sin(radians(p.latitude - $1::float8) / 2) ^ 2
            + cos(radians($1::float8)) * cos(radians(p.latitude)) * sin(radians(p.longitude - $2::float8) / 2) ^ 2))),
            case when $1::float8 is null then 0 else 'infinity'::float8 end) as away_m
    from station s
    left join cabinet_presence p on p.station_id = s.id
    where s.kind <> 'charger'
    and (p.latitude is not null or not $5::boolean))
select c.id, c.kind, c.provider_id, c.latitude, c.longitude, c.is_away, c.away_m,
    c.latitude is not null and $1 is not null as is_measured, d.doors, d.free_doors, i.items_ready
from (
    select *
    from cabinets
    where (away_m, id) > ($6::float8, $7::text)
    order by away_m, id) c -- in order, so that no more doors are looked at than rows are wanted
cross join lateral (
    select count(*) as doors, count(*) filter (where v.is_free) as free_doors,
        count(*) filter (where v.is_free and $3::text in ('any', v.holds)) as fitting,
        count(*) filter (where v.is_ready and v.item_type = $4::text) as wanted
    from door_view v
    where v.station_id = c.id) d
cross join lateral (
    select coalesce(json_object_agg(t.item_type, t.ready order by t.item_type), '{}')::text as items_ready
    from (
        select v.item_type, count(*) as ready
        from door_view v
        where v.station_id = c.id
        and v.is_ready
        group by v.item_type) t) i
where ($3 is null or d.fitting > 0 and not c.is_away)
and ($4 is null or d.wanted > 0 and not c.is_away)
order by c.away_m, c.id
limit $8;

-- name: list_doors
-- The doors and slots of a cabinet, with what stands behind them.
select connector, kind, state, item, item_type, item_state, is_reserved, fault, out_of_service, is_free, is_ready,
    known_at
from door_view
where station_id = $1
order by connector;

-- name: place_of_cabinet
-- Where a cabinet stands, if that is on the map.
select latitude, longitude
from cabinet_presence
where station_id = $1
and latitude is not null;
