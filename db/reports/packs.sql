-- Every pack, by code: where it is, who has it, how full and how healthy it is, how often it was charged.
-- as_of is refused: it tells how packs are now; `rentals` and `swaps` tell where they were
-- $1 provider: this provider's packs only
-- $2 after: go on after this row
-- $3 limit: at most so many rows
-- $4 station: in the slots of this station
-- $5 driver: in this driver's hands
select i.code as pack, p.serial, i.type, i.provider_id as provider, i.state as item_state, i.place, i.station_id as station,
    i.unit as connector, case when i.key <> '' then i.at end as since, r.driver_id as driver, p.capacity_wh, p.soc, p.soh,
    p.cycles, p.mode, p.temp, array_to_string(p.faults, ' ') as faults, p.quarantine, p.source, p.at as measured_at,
    json_build_array(i.code)::text as _cursor, json_build_object('path', '/items/' || i.code)::text as _link
from item i
join pack p on p.code = i.code
left join lateral (
    select driver_id
    from rental
    where rental.item = i.code
    and rental.state in ('opening', 'active', 'returning', 'overdue', 'provisional')
    limit 1) r on true
where i.kind = 'battery'
and ($1::text is null or i.provider_id = $1)
and ($2::jsonb is null or i.code > ($2::jsonb ->> 0))
and ($4::text is null or i.station_id = $4)
and ($5::text is null or r.driver_id = $5)
order by i.code
limit $3::bigint
