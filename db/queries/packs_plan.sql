-- The order in which packs are charged: what it is planned from, and what stations were told of it (csms/flows/slots.py).

-- name: stations_under_cap
-- The battery stations of the next $2 sites after $1 whose power is limited, with what each was told; by site.
select w.id as site_id, w.power_cap_w, w.time_zone, s.id as station_id, s.epoch, s.booted_at, r.target_soc, p.plan::text as plan
from (
    select id, power_cap_w, time_zone
    from site
    where id > $1
    and power_cap_w is not null
    and exists (select from station s where s.site_id = site.id and s.kind = 'battery_station')
    order by id
    limit $2) w
join station s on s.site_id = w.id and s.kind = 'battery_station'
left join slot_rules r on r.station_id = s.id
left join slot_plan p on p.station_id = s.id
order by w.id, s.id;

-- name: stations_to_free
-- Stations that were told of a limit of their site's, which has none any more; $1 how many.
select s.site_id, w.power_cap_w, w.time_zone, s.id as station_id, s.epoch, s.booted_at, r.target_soc, p.plan::text as plan
from slot_plan p
join station s on s.id = p.station_id
left join site w on w.id = s.site_id
left join slot_rules r on r.station_id = s.id
where w.power_cap_w is null
and p.plan -> 'slots' <> '{}'
order by s.site_id, s.id
limit $1;

-- name: stations_beside
-- A battery station and those that share its site's power, with what each was told.
select a.site_id, w.power_cap_w, w.time_zone, s.id as station_id, s.epoch, s.booted_at, r.target_soc, p.plan::text as plan
from station a
join station s on s.id = a.id or s.site_id = a.site_id
left join site w on w.id = a.site_id
left join slot_rules r on r.station_id = s.id
left join slot_plan p on p.station_id = s.id
where a.id = $1
and s.kind = 'battery_station'
order by s.id;

-- name: slots_of_stations
-- Every slot of stations $1, and the pack that stands in it: how it is, as it last told.
select c.station_id, c.number as unit, c.max_power_w, coalesce(d.out_of_service, false) as out_of_service,
    i.code as item, i.state as item_state, k.code, k.serial, k.capacity_wh, k.soc, k.soh, k.mv, k.ma, k.temp, k.cycles,
    k.discharge_wh, k.charge_wh, k.epoch, k.made, k.faults, k.mode, k.source, k.at, k.key, k.quarantine, k.version
from unnest($1::text[]) s (id)
join connector c on c.station_id = s.id and c.kind = 'slot' and c.number > 0
left join door d on d.station_id = c.station_id and d.unit = c.number
left join item i on i.station_id = c.station_id and i.unit = c.number and i.place = 'connector'
left join pack k on k.code = i.code
order by c.station_id, c.number;

-- name: slot_plans
-- What stations $1 were told of the order of charging, and by which connection they are here.
select s.id as station_id, s.epoch, s.booted_at, p.plan::text as plan
from station s
left join slot_plan p on p.station_id = s.id
where s.id = any($1::text[]);

-- name: record_slot_plans
-- What stations $1 were told by $3: plans $2; a plan that is not newer than the one that stands changes nothing.
insert into slot_plan (station_id, plan, told_at)
select n.station_id, n.plan::jsonb, $3
from unnest($1::text[], $2::text[]) n (station_id, plan)
on conflict (station_id) do update
set plan = excluded.plan, told_at = excluded.told_at
where (slot_plan.plan ->> 'number')::integer < (excluded.plan ->> 'number')::integer;
