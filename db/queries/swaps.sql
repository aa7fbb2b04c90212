-- Exchanges of packs as drivers and staff see them, and packs that drivers want kept for them.

-- name: station_to_swap_at
-- A station where packs are exchanged, and the time zone it stands in.
select s.id, s.provider_id, i.time_zone
from station s
left join site i on i.id = s.site_id
where s.id = $1
and s.kind = 'battery_station';

-- name: show_swap
-- One swap.
select id, station_id, rid, state, driver_id, provider_id, asked_by, proof, wanted, opened_at, inserted_at, ended_at,
    units_in, packs_in, rentals_in, units_out, packs_out, rentals_out, flags, reason
from swap
where id = $1;

-- name: list_swaps
-- Swaps, the newest first, narrowed by what is given; goes on below ($2, $3).
select id, station_id, rid, state, driver_id, provider_id, asked_by, proof, wanted, opened_at, inserted_at, ended_at,
    units_in, packs_in, rentals_in, units_out, packs_out, rentals_out, flags, reason
from swap
where (opened_at, id) < ($2::timestamptz, $3::uuid)
and ($4::text is null or station_id = $4)
and ($5::text is null or driver_id = $5)
and ($6::text is null or state = $6)
and opened_at >= coalesce($7::timestamptz, '-infinity')
and opened_at < coalesce($8::timestamptz, 'infinity')
order by opened_at desc, id desc
limit $1;

-- name: rentals_of_swaps
-- The rentals of packs that went in or out of swaps: levels, what was taken, and the bills that stand.
select r.id, r.item, r.battery_wh, (r.level_out).soc as soc_out, (r.level_out).soh as soh_out,
    (r.level_in).soc as soc_in, (r.level_in).soh as soh_in, r.flags, b.id as bill_id, b.total_minor, b.currency
from rental r
left join lateral (
    select bill.id, bill.total_minor, bill.currency
    from bill
    where bill.session_id = r.id
    and bill.kind = 'charge'
    order by revision desc
    limit 1) b on true
where r.id = any($1::uuid[]);

-- name: lock_reservations
-- Lets one request at a time reserve for a driver.
select pg_advisory_xact_lock(hashtext('reservations'), hashtext($1::text));

-- name: count_reservations
-- How many reservations a driver has that are not over.
select count(*)
from pack_reservation
where driver_id = $1
and state = 'active'
and (until_date is null or until_date >= ($2::timestamptz at time zone time_zone)::date);

-- name: count_slots
-- How many slots a station has.
select count(*)
from connector
where station_id = $1
and kind = 'slot'
and number > 0;

-- name: is_type_of_packs
-- Whether there is a pack of this type.
select exists (
    select
    from item
    where type = $1
    and kind = 'battery'
    and state <> 'retired');

-- name: add_reservation
-- Keeps packs for a driver, on some days of the week.
insert into pack_reservation (id, version, station_id, driver_id, item_type, wanted, days, begins, minutes, from_date,
    until_date, time_zone, state, created_at)
values ($1, 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 'active', $12);

-- name: show_reservation
-- One reservation.
select id, station_id, driver_id, item_type, wanted, days, begins, minutes, from_date, until_date, time_zone, used_on,
    state, created_at
from pack_reservation
where id = $1;

-- name: list_reservations
-- Reservations, by id, narrowed by what is given; goes on after $1.
select id, station_id, driver_id, item_type, wanted, days, begins, minutes, from_date, until_date, time_zone, used_on,
    state, created_at
from pack_reservation
where id > $1
and ($3::text is null or station_id = $3)
and ($4::text is null or driver_id = $4)
and ($5::text is null or state = $5)
order by id
limit $2;

-- name: cancel_reservation
-- A reservation that is not wanted any more.
update pack_reservation
set state = 'cancelled', version = version + 1
where id = $1
and state = 'active';
