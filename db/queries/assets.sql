-- The road's rows of items, doors, grants and rentals (csms/store/assets.py).

-- name: load_assets
-- All rows that reports of items and doors are decided on, in one statement; each column is an array of rows.
-- $1 cabinets; $2 items; $3 grants; $4 rentals; $5, $6 stations and ids of reports heard before; $7 keys of tokens whose
-- drivers' open rentals are wanted; $8, $9 stations and numbers of single doors; $10 serials of packs, or aliases; $11,
-- $12 stations and numbers of swaps; $13 swaps; $14 serials of packs that are only told of; $15, $16 stations and numbers
-- of slots that are; $17 to $20 serials, stations, days and ids of states that may be known;
-- $21 when uses may begin. Each look-up asks for the order of its index, so that no plan passes over another one, and no two
-- sets of this statement are joined: without hashes that costs the square of a batch (store/assets.py).
with wanted_stations as (
    select s.id
    from unnest(
        $1::text[]
        || array(select r.station_id from unnest($4::uuid[]) k (id) join rental r on r.id = k.id)
        || array(select w.station_id from unnest($13::uuid[]) k (id) join swap w on w.id = k.id)) s (id)
    group by s.id),
single_doors as (
    select d.station_id, d.unit
    from unnest($8::text[], $9::integer[]) d (station_id, unit)
    group by d.station_id, d.unit),
told_doors as (
    select d.station_id, d.unit
    from unnest($15::text[], $16::integer[]) d (station_id, unit)
    group by d.station_id, d.unit),
heard as (
    select r.*
    from unnest($5::text[], $6::text[]) k (station_id, id)
    cross join lateral (
        select * from asset_report where station_id = k.station_id and id >= k.id order by id limit 1) r
    where r.id = k.id),
door_grants as (
    select g.id, g.rental_id
    from single_doors w
    cross join lateral (
        select id, unit, rental_id
        from door_grant
        where station_id = w.station_id
        and unit <= w.unit
        order by unit desc, issued_at desc, id desc
        limit 2) g
    where g.unit = w.unit),
token_drivers as (
    select coalesce(t.driver_id, i.driver_id) as driver_id
    from unnest($7::bytea[]) k (key)
    cross join lateral (select * from token t where t.key = k.key limit 1) t
    left join lateral (
        select driver_id from driver_identity i where i.issuer = t.issuer and i.subject = t.subject limit 1) i on true),
wanted_swaps as (
    select w.*
    from (
        select k.id from unnest($13::uuid[]) k (id)
        union
        select w.id
        from unnest($11::text[], $12::bigint[]) k (station_id, rid)
        cross join lateral (
            select id, rid
            from swap
            where station_id = k.station_id
            and rid <= k.rid
            order by rid desc, opened_at desc, id desc
            limit 2) w
        where w.rid = k.rid
        union
        select r.swap_id from unnest($4::uuid[]) k (id) join rental r on r.id = k.id where r.swap_id is not null
        union
        select r.swap_id
        from unnest($3::uuid[]) k (id)
        join door_grant g on g.id = k.id
        join rental r on r.id = g.rental_id
        where r.swap_id is not null
        union
        select r.swap_id from door_grants g join rental r on r.id = g.rental_id where r.swap_id is not null
        union
        select r.swap_id from heard h join rental r on r.id = h.rental_id where r.swap_id is not null
        union
        select w.id
        from token_drivers t
        cross join lateral (
            select id from swap where driver_id = t.driver_id and ended_at is null order by id offset 0) w) k
    join swap w on w.id = k.id),
swap_rentals as (
    select distinct k.id
    from wanted_swaps w
    cross join lateral unnest(w.rentals_in || w.rentals_out) k (id)
    where k.id is not null),
named_items as (
    select code
    from (
        select unnest($2::text[]) as code
        union all
        select r.item from unnest($4::uuid[]) k (id) join rental r on r.id = k.id
        union all
        select r.item
        from unnest($3::uuid[]) k (id)
        join door_grant g on g.id = k.id
        join rental r on r.id = g.rental_id
        union all
        select p.code from unnest($10::text[]) k (serial) join pack p on p.serial = k.serial
        union all
        select p.code from unnest($10::text[]) k (serial) join pack p on p.alias = k.serial
        union all
        select k.code
        from wanted_swaps w
        cross join lateral unnest(w.packs_in || w.packs_out) k (code)) w
    where code is not null
    group by code),
wanted_items as (
    select code
    from (
        select code from named_items
        union all
        select i.code
        from wanted_stations s
        cross join lateral (
            select code from item where station_id = s.id and place = 'connector' order by unit offset 0) i
        union all
        select d.mark_item
        from wanted_stations s
        cross join lateral (
            select mark_item from door where station_id = s.id and mark_item is not null order by unit offset 0) d
        union all
        select i.code
        from single_doors w
        cross join lateral (
            select code
            from item
            where station_id = w.station_id
            and unit = w.unit
            and place = 'connector'
            offset 0) i
        union all
        select d.mark_item
        from single_doors w
        join door d on d.station_id = w.station_id and d.unit = w.unit
        where d.mark_item is not null) w
    group by code),
told_items as (
    select code
    from (
        select p.code from unnest($14::text[]) k (serial) join pack p on p.serial = k.serial
        union all
        select d.mark_item
        from told_doors w
        join door d on d.station_id = w.station_id and d.unit = w.unit
        where d.mark_item is not null
        union all
        select i.code
        from told_doors w
        cross join lateral (
            select code
            from item
            where station_id = w.station_id
            and unit = w.unit
            and place = 'connector'
            offset 0) i) w
    group by code),
wanted_rentals as (
    select r.*
    from (
        select unnest($4::uuid[]) as id
        union
        select id from swap_rentals
        union
        select g.rental_id from unnest($3::uuid[]) k (id) join door_grant g on g.id = k.id
        union
        select rental_id from door_grants
        union
        select r.id
        from single_doors w
        cross join lateral (
            select id
            from rental
            where return_station = w.station_id
            and return_unit = w.unit
            and closed_at is null
            order by id
            offset 0) r
        union
        select r.id
        from wanted_stations s
        cross join lateral (
            select id from rental where station_id = s.id and closed_at is null order by id offset 0) r
        union
        select r.id
        from wanted_stations s
        cross join lateral (
            select id from rental where return_station = s.id and closed_at is null order by id offset 0) r
        union
        select r.id
        from wanted_items i
        cross join lateral (
            select id
            from rental
            where item = i.code
            and state in ('opening', 'active', 'returning', 'overdue', 'provisional')
            limit 1) r
        union
        select r.id
        from named_items i
        cross join lateral (
            select id from rental where item = i.code and state not in ('requested', 'refused')
            order by requested_at desc, id desc limit 2) r
        union
        select r.id
        from token_drivers t
        cross join lateral (
            select id from rental
            where driver_id = t.driver_id and closed_at is null
            order by requested_at
            limit 20) r
        union
        select r.id
        from told_items i
        cross join lateral (select id from rental where item = i.code and state = 'returning' limit 1) r
        union
        select rental_id from heard) w
    join rental r on r.id = w.id),
wanted_doors as (
    select c.station_id, c.number as unit, c.kind
    from wanted_stations s
    cross join lateral (
        select * from connector where station_id = s.id and kind in ('door', 'slot') and number > 0 offset 0) c
    union
    select c.station_id, c.number, c.kind
    from single_doors w
    join connector c on c.station_id = w.station_id and c.number = w.unit
    where c.kind in ('door', 'slot')
    and c.number > 0
    union
    select c.station_id, c.number, c.kind
    from told_doors w
    join connector c on c.station_id = w.station_id and c.number = w.unit
    where c.kind in ('door', 'slot')
    and c.number > 0
    union
    select d.station_id, d.unit, c.kind
    from wanted_rentals r
    cross join lateral (select station_id, unit from door where reserved_for = r.id order by unit offset 0) d
    join connector c on c.station_id = d.station_id and c.number = d.unit
    union
    select c.station_id, c.number, c.kind
    from wanted_rentals r
    join connector c on c.station_id = r.return_station and c.number = r.return_unit),
all_items as (
    select code from wanted_items
    union
    select code from told_items
    union
    select item from wanted_rentals where item is not null),
wanted_packs as (
    select p.* from all_items w join pack p on p.code = w.code),
pack_rentals as (
    select r.* from wanted_rentals r cross join lateral (select code from pack where code = r.item limit 1) p),
-- As in `load_world`.
voucher_since as (
    select least(
        (select min(k.at) - interval '46 days' from unnest($21::timestamptz[]) k (at)),
        (select min(r.requested_at) from wanted_rentals r where r.closed_at is null)) as at)
select
    array(
        select row(
            i.code, i.kind, i.type, i.provider_id, i.state, i.place, i.station_id, i.unit, i.rental_id, i.at, i.key,
            i.tag, i.plugged, i.plugged_at, i.version)
        from all_items w
        join item i on i.code = w.code
    ) as items,
    array(
        select row(
            w.kind, w.station_id, w.unit, d.state, d.state_at, d.state_key, d.opened_at, d.mark_item, d.mark_at,
            d.mark_key, d.out_of_service, d.fault, d.reserved_for, d.told, d.version)
        from wanted_doors w
        left join door d on d.station_id = w.station_id and d.unit = w.unit
    ) as doors,
    array(
        select row(
            g.id, g.station_id, g.unit, g.why, g.state, g.rental_id, g.item, g.driver_id, g.issued_at, g.expires_at,
            g.opened_at, g.ended_at, g.error, g.proof, g.by_whom, g.reason, g.attempt, g.version, g.opening_s)
        from (
            select unnest($3::uuid[]) as id
            union
            select g.id
            from wanted_doors w
            cross join lateral (
                select id
                from door_grant
                where station_id = w.station_id
                and unit = w.unit
                and state in ('issued', 'sent', 'accepted')
                limit 1) g
            union
            select id from door_grants
            union
            select g.id from wanted_rentals r join door_grant g on g.rental_id = r.id) w
        join door_grant g on g.id = w.id
    ) as grants,
    array(
        select row(
            r.id, r.version, r.state, r.station_id, r.unit, r.provider_id, r.driver_id, r.item, r.item_type,
            r.requested_at, r.asked_by, r.proof, r.taken_at, r.due_at, r.returned_at, r.return_station,
            r.return_unit, r.stopped_at, r.extensions, r.outage_s, r.damage_minor, r.tries, r.reminders, r.flags,
            r.reason, r.checked_at, r.closed_at, r.extended_at, r.swap_id,
            row((r.level_out).soc, (r.level_out).soh, (r.level_out).capacity_wh, (r.level_out).discharge_wh,
                (r.level_out).charge_wh, (r.level_out).epoch, (r.level_out).at),
            row((r.level_in).soc, (r.level_in).soh, (r.level_in).capacity_wh, (r.level_in).discharge_wh,
                (r.level_in).charge_wh, (r.level_in).epoch, (r.level_in).at),
            r.battery_wh)
        from wanted_rentals r
    ) as rentals,
    array(
        select row(o.station_id, o.from_at, o.until_at)
        from (
            select station_id, min(due_at) as since
            from wanted_rentals
            where due_at is not null
            group by station_id) r
        cross join lateral (
            select *
            from station_outage
            where station_id = r.station_id
            and (until_at is null or until_at > r.since)
            order by from_at
            offset 0) o
    ) as outages,
    array(
        select row(c.station_id, c.last_seq, c.seen_at, c.version)
        from (
            select id from wanted_stations
            union
            select station_id from single_doors
            union
            select station_id from told_doors) s
        join cabinet c on c.station_id = s.id
    ) as cabinets,
    array(
        select row(i.tag, t.site_id, s.host_bp, s.tags)
        from all_items w
        join item i on i.code = w.code
        join outlet_tag t on t.tag = i.tag
        join site s on s.id = t.site_id
    ) as hosts,
    array(
        select row(
            r.station_id, r.id, r.error, r.grant_id, r.answer_unit, r.expires_at, r.rental_id)
        from heard r
    ) as reported,
    array(
        select row(
            p.code, p.serial, p.capacity_wh, p.soc, p.soh, p.mv, p.ma, p.temp, p.cycles, p.discharge_wh, p.charge_wh,
            p.epoch, p.made, p.faults, p.mode, p.source, p.at, p.key, p.quarantine, p.version)
        from wanted_packs p
    ) as packs,
    array(
        select row(
            w.id, w.version, w.station_id, w.rid, w.state, w.driver_id, w.provider_id, w.asked_by, w.proof, w.wanted,
            w.opened_at, w.inserted_at, w.ended_at, w.checked_at, w.units_in, w.packs_in, w.rentals_in, w.units_out,
            w.packs_out, w.rentals_out, w.flags, w.reason)
        from wanted_swaps w
    ) as swaps,
    array(
        select row(
            v.id, v.version, v.driver_id, v.provider_id, v.product_id, v.unit, v.total, v.used, v.price_minor,
            v.released_minor, v.currency, v.vat_percent, v.overuse_price, v.valid_from, v.valid_until, v.carry_until,
            v.uses, v.uses_max, v.terms, v.funded_by, v.token_key)
        from (
            select driver_id from token_drivers where driver_id is not null
            union
            select driver_id from wanted_rentals where driver_id is not null and closed_at is null) d
        cross join lateral (
            select *
            from (
                select *
                from voucher
                where driver_id = d.driver_id
                and state = 'active'
                and coalesce(carry_until, valid_until) > coalesce((select at from voucher_since), '-infinity')
                order by valid_from desc, id desc
                limit 2000) o
            order by ((used < total or overuse_price is not null) and (uses_max is null or uses < uses_max)) desc,
                valid_from desc, id desc
            limit 200) v
    ) as vouchers,
    array(
        select row(
            k.id, k.version, k.station_id, k.driver_id, k.item_type, k.wanted, k.days, k.begins, k.minutes,
            k.from_date, k.until_date, k.time_zone, k.used_on)
        from wanted_stations s
        cross join lateral (
            select * from pack_reservation where station_id = s.id and state = 'active' order by id offset 0) k
    ) as reservations,
    array(
        select row(r.station_id, r.target_soc, r.soh_min, r.temp_min, r.temp_max, r.foreign_packs)
        from wanted_stations s
        join slot_rules r on r.station_id = s.id
    ) as slot_rules,
    array(
        select row(s.token_key, r.station_id)
        from pack_rentals r
        cross join lateral (
            select token_key from session where id = r.id and station_id = r.station_id limit 1) s
        where r.closed_at is null
        and s.token_key is not null
    ) as payers,
    array(
        select row(p.code, k.station_id, k.id)
        from unnest($17::text[], $18::text[], $19::date[], $20::text[]) k (serial, station_id, day, id)
        cross join lateral (select code from pack where serial = k.serial limit 1) p
        cross join lateral (
            select substr(id, 18) as id
            from pack_state
            where day = k.day
            and code = p.code
            and station_id = k.station_id
            and substr(id, 18) >= k.id
            order by substr(id, 18)
            limit 1) s
        where s.id = k.id
    ) as states_told;

-- name: save_assets
-- Everything a batch changes of items and doors; raises CS001 when it was decided on older rows than the stored ones.
select save_assets($1, $2, $3, $4, $5, $6);
