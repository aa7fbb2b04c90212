-- Packs as staff set them up, and as staff and drivers see them.

-- name: add_pack
-- Makes an item a pack of which nothing was told yet; no row comes back when its serial is another pack's.
insert into pack (code, serial, capacity_wh, faults, key, version)
values ($1, $2, $3, '{}', '', 1)
on conflict do nothing
returning code;

-- name: change_pack
-- What staff say of a pack; a batch that holds its older row decides again.
update pack
set serial = $2, capacity_wh = $3, version = version + 1
where code = $1
returning code;

-- name: show_packs
-- Packs by their codes, as they were last told.
select code, serial, alias, capacity_wh, soc, soh, mv, ma, temp, cycles, discharge_wh, charge_wh, epoch, made, faults,
    mode, source, at, quarantine
from pack
where code = any($1::text[]);

-- name: list_items_of_driver
-- The items that a driver has, by code; goes on after $2.
select i.code, i.kind, i.type, i.provider_id, i.label, i.state, i.place, i.station_id, i.unit,
    case when i.key <> '' then i.at end as at, i.tag, i.plugged, i.plugged_at, i.created_at,
    null::double precision as latitude, null::double precision as longitude, r.id as rental_id, r.driver_id
from rental r
join item i on i.code = r.item
where r.driver_id = $1
and r.closed_at is null
and r.state in ('active', 'returning', 'overdue')
and i.code > $2
order by i.code
limit $3;

-- name: custody_of
-- Since when a driver has an item.
select taken_at
from rental
where item = $1
and driver_id = $2
and state in ('active', 'returning', 'overdue')
and taken_at is not null;

-- name: list_pack_states
-- What was told of a pack, the newest first; goes on below ($2, $3).
select at, id, source, station_id, unit, soc, soh, mv, ma, temp, cycles, discharge_wh, charge_wh, epoch, capacity_wh,
    faults, mode
from pack_state
where code = $1
and (day, at, id) < ($2::timestamptz::date, $2::timestamptz, $3::text)
and day >= coalesce($4::timestamptz, '-infinity')::date
and day <= coalesce($5::timestamptz, 'infinity')::date
and at >= coalesce($4::timestamptz, '-infinity')
and at < coalesce($5::timestamptz, 'infinity')
order by day desc, at desc, id desc
limit $6;

-- name: list_custodies
-- Who had an item, from when to when, and how it was then; the newest first, goes on below ($2, $3).
select r.id, r.state, r.driver_id, r.station_id, r.unit, r.requested_at, r.taken_at, r.returned_at, r.return_station,
    r.return_unit, r.swap_id, r.battery_wh, r.flags, (r.level_out).soc as soc_out, (r.level_out).soh as soh_out,
    (r.level_out).at as out_at, (r.level_in).soc as soc_in, (r.level_in).soh as soh_in, (r.level_in).at as in_at
from rental r
where r.item = $1
and (r.requested_at, r.id) < ($2::timestamptz, $3::uuid)
and r.taken_at is not null
order by r.requested_at desc, r.id desc
limit $4;

-- name: put_slot_rules
-- What a station asks of packs.
insert into slot_rules (station_id, target_soc, soh_min, temp_min, temp_max, foreign_packs)
values ($1, $2, $3, $4, $5, $6)
on conflict (station_id) do update
set target_soc = excluded.target_soc, soh_min = excluded.soh_min, temp_min = excluded.temp_min,
    temp_max = excluded.temp_max, foreign_packs = excluded.foreign_packs;

-- name: show_slot_rules
-- A station, and what it asks of packs; nulls where nobody has said.
select s.id, s.kind, s.site_id, r.target_soc, r.soh_min, r.temp_min, r.temp_max, r.foreign_packs
from station s
left join slot_rules r on r.station_id = s.id
where s.id = $1;

-- name: list_slots
-- The slots of a battery station, and the packs in them.
select d.connector, d.state as door, d.item, d.item_type, d.item_state, d.is_reserved, d.fault, d.out_of_service,
    d.is_free, d.known_at, p.code, p.serial, p.capacity_wh, p.soc, p.soh, p.mv, p.ma, p.temp, p.cycles, p.discharge_wh,
    p.charge_wh, p.epoch, p.made, p.faults, p.mode, p.source, p.at, p.key, p.quarantine, p.version, p.alias
from door_view d
left join pack p on p.code = d.item
where d.station_id = $1
and d.kind = 'slot'
order by d.connector;
