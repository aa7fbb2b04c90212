-- Every visit at battery stations in the order of their beginning: packs brought and taken, what was used, what it cost.
-- as_of is refused: a swap changes until it is over; `bills` and `revenue` tell what was charged as of an instant
-- $1 from: begun at this time or later
-- $2 to: begun before this time
-- $3 provider: at this provider's stations only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 station: at this station
-- $7 driver: by this driver
select w.id as swap, w.opened_at, w.provider_id as provider, w.station_id as station, w.rid as number,
    w.driver_id as driver, w.state as stands, w.reason, array_to_string(w.flags, ' ') as flags, w.proof,
    w.asked_by, w.wanted as packs_wanted, w.inserted_at,
    array_to_string(array_remove(w.packs_in, ''), ' ') as packs_in, array_to_string(w.packs_out, ' ') as packs_out,
    m.battery_wh, m.currency, m.fee_minor, w.ended_at, json_build_array(w.opened_at, w.id)::text as _cursor,
    json_build_object('path', '/swaps/' || w.id)::text as _link
from swap w
left join lateral (
    select sum(r.battery_wh)::bigint as battery_wh, min(b.currency) as currency, sum(b.minor)::bigint as fee_minor
    from unnest(w.rentals_in) k (id)
    join rental r on r.id = k.id
    left join lateral (
        select min(currency) as currency, sum(total_minor) as minor from bill where bill.session_id = k.id) b on true
    ) m on true
where w.opened_at >= greatest(
    coalesce($1::timestamptz, '-infinity'), coalesce(($4::jsonb ->> 0)::timestamptz, '-infinity'))
and w.opened_at < coalesce($2::timestamptz, 'infinity')
and ($3::text is null or w.provider_id = $3)
and ($6::text is null or w.station_id = $6)
and ($7::text is null or w.driver_id = $7)
and ($4::jsonb is null
    or (w.opened_at, w.id) > (($4::jsonb ->> 0)::timestamptz, ($4::jsonb ->> 1)::uuid))
order by w.opened_at, w.id
limit $5::bigint
