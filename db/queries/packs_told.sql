-- The road's rows of packs, swaps and vouchers, and what a batch that only tells of packs needs (csms/store/assets.py).

-- name: load_told
-- As load_assets, of a batch that only tells of packs: $1 their serials; $2, $3 stations and numbers of their slots; $4 to
-- $7 serials, stations, days and ids of what is told, to find what was told before. To begin the large statement takes
-- longer than to run it for a few. `waits`: a rental waits for a level, load them all.
with told_doors as (
    select d.station_id, d.unit
    from unnest($2::text[], $3::integer[]) d (station_id, unit)
    group by d.station_id, d.unit),
told_items as (
    select code
    from (
        select p.code from unnest($1::text[]) k (serial) join pack p on p.serial = k.serial
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
    group by code)
select
    array(
        select row(
            i.code, i.kind, i.type, i.provider_id, i.state, i.place, i.station_id, i.unit, i.rental_id, i.at, i.key,
            i.tag, i.plugged, i.plugged_at, i.version)
        from told_items w
        join item i on i.code = w.code
    ) as items,
    array(
        select row(
            c.kind, w.station_id, w.unit, d.state, d.state_at, d.state_key, d.opened_at, d.mark_item, d.mark_at,
            d.mark_key, d.out_of_service, d.fault, d.reserved_for, d.told, d.version)
        from told_doors w
        join connector c on c.station_id = w.station_id and c.number = w.unit
        left join door d on d.station_id = w.station_id and d.unit = w.unit
        where c.kind in ('door', 'slot')
        and c.number > 0
    ) as doors,
    array(
        select row(c.station_id, c.last_seq, c.seen_at, c.version)
        from (select station_id from told_doors group by station_id) s
        join cabinet c on c.station_id = s.station_id
    ) as cabinets,
    array(
        select row(
            p.code, p.serial, p.capacity_wh, p.soc, p.soh, p.mv, p.ma, p.temp, p.cycles, p.discharge_wh, p.charge_wh,
            p.epoch, p.made, p.faults, p.mode, p.source, p.at, p.key, p.quarantine, p.version)
        from told_items w
        join pack p on p.code = w.code
    ) as packs,
    array(
        select row(p.code, k.station_id, k.id)
        from unnest($4::text[], $5::text[], $6::date[], $7::text[]) k (serial, station_id, day, id)
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
    ) as states_told,
    exists (
        select
        from told_items w
        cross join lateral (select id from rental where item = w.code and state = 'returning' limit 1) r
    ) as waits;

-- name: save_cabinets
-- How far the events of stations are known, where nothing else of them changes; raises CS001 as save_assets does.
with written as (
    insert into cabinet
    select * from unnest($1::cabinet_in[])
    on conflict (station_id) do update
    set last_seq = excluded.last_seq, seen_at = excluded.seen_at, version = excluded.version
    where cabinet.version = excluded.version - 1
    returning station_id)
select lost_race('cabinet')
where (select count(*) from written) <> cardinality($1::cabinet_in[]);

-- name: save_packs
-- Everything a batch changes of packs, swaps, vouchers and reservations; raises CS001 as save_assets does.
select save_packs($1, $2, $3, $4, $5, $6);

-- name: ensure_pack_states
-- Makes the partition of a day's states of packs.
select ensure_pack_states($1);
