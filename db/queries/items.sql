-- Items as staff set them up, and as everybody finds them.

-- name: add_item
-- Adds an item that nobody has seen yet; no row comes back when the code is taken. Whatever a cabinet reports of it
-- counts, also from before: its clock may be behind, and what it saw is no less true.
insert into item (code, kind, type, provider_id, label, place, at, key, version, created_at)
values ($1, $2, $3, $4, $5, 'unknown', '1970-01-01Z', '', 1, $6)
on conflict (code) do nothing
returning code;

-- name: change_item_label
-- Sets what people call an item.
update item
set label = $2
where code = $1;

-- name: show_item
-- One item, where it is, and who has it.
select i.code, i.kind, i.type, i.provider_id, i.label, i.state, i.place, i.station_id, i.unit,
    case when i.key <> '' then i.at end as at, i.tag, i.plugged, i.plugged_at, i.created_at, p.latitude, p.longitude,
    r.id as rental_id, r.driver_id
from item i
left join cabinet_presence p on p.station_id = i.station_id
left join lateral (
    select id, driver_id
    from rental
    where rental.item = i.code
    and rental.state in ('opening', 'active', 'returning', 'overdue', 'provisional')
    limit 1) r on true
where i.code = $1;

-- name: item_on_the_map
-- One charger that stands in a cabinet with a place on the map: what everybody may know of it.
select i.code, i.kind, i.type, i.provider_id, i.label, i.state, i.place, i.station_id, i.unit, i.at,
    null as tag, false as plugged, null::timestamptz as plugged_at, i.created_at, p.latitude, p.longitude,
    null::uuid as rental_id, null as driver_id
from item i
join cabinet_presence p on p.station_id = i.station_id and p.latitude is not null
where i.code = $1
and i.kind = 'portable'
and i.place = 'connector';

-- name: is_type_at_station
-- Whether anything of a type stands in a cabinet.
select exists (
    select
    from item
    where station_id = $1
    and type = $2
    and place = 'connector');

-- name: list_items
-- Items by code, narrowed by what is given; only a battery is in quarantine.
select i.code, i.kind, i.type, i.provider_id, i.label, i.state, i.place, i.station_id, i.unit,
    case when i.key <> '' then i.at end as at, i.tag, i.plugged, i.plugged_at, i.created_at, p.latitude, p.longitude,
    r.id as rental_id, r.driver_id
from item i
left join cabinet_presence p on p.station_id = i.station_id
left join lateral (
    select id, driver_id
    from rental
    where rental.item = i.code
    and rental.state in ('opening', 'active', 'returning', 'overdue', 'provisional')
    limit 1) r on true
where i.code > $1
and ($3::text is null or i.provider_id = $3)
and ($4::text is null or i.station_id = $4)
and ($5::text is null or i.place = $5)
and ($6::text is null or i.state = $6)
and ($7::text is null or i.type = $7)
and ($8::text is null or i.kind = $8)
and ($9::boolean is null or $9 = exists (select from pack k where k.code = i.code and k.quarantine is not null))
order by i.code
limit $2;

-- name: list_openings
-- Who had which door of a cabinet opened, the newest first, narrowed by what is given; goes on below ($2, $3).
select id, station_id, unit, why, state, rental_id, item, driver_id, by_whom, proof, reason, attempt, issued_at,
    expires_at, opened_at, ended_at, error
from door_grant
where station_id = $4
and (issued_at, id) < ($2::timestamptz, $3::uuid)
and ($5::integer is null or unit = $5)
order by issued_at desc, id desc
limit $1;

-- name: show_opening
-- One permission to open a door, and what became of it.
select id, station_id, unit, why, state, rental_id, item, driver_id, by_whom, proof, reason, attempt, issued_at,
    expires_at, opened_at, ended_at, error
from door_grant
where id = $1;

-- name: snapshots_since
-- The snapshots that a cabinet has told since a time.
select id, at, error
from asset_report
where station_id = $1
and kind = 'Unit.Snapshot'
and received_at >= $2
order by received_at, id;
