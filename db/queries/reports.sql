-- What reports need beside their own statements: snapshots, sums, CDRs.

-- name: take_snapshot
-- The snapshot of the as_of $1, the same for everybody, taken now if it is the first time.
select as_of, era, taken::text as transactions, taken_at
from snapshot_at($1);

-- name: sum_bills
-- Adds about $1 bills to the sums of days; whether there may be more.
select sum_bills($1);

-- name: sum_transfers
-- Adds about $1 transfers to the sums of accounts; whether there may be more.
select sum_transfers($1);

-- name: count_bills
-- How many bills the report `bills` has between $1 and $2, of provider $3, in the snapshot ($4, $5), from the sums.
select coalesce(sum(part.bills), 0)::bigint
from (
    select d.bills, d.provider_id
    from summed_spans('1 day', $1, $2, $4::smallint, $5::text::pg_snapshot) d
    union all
    select 1, b.provider_id
    from unsummed_bills('1 day', $1, $2, $4::smallint, $5::text::pg_snapshot) b) part
where $3::text is null or part.provider_id = $3;

-- name: list_cdrs
-- Bills $1 to $2 of provider $3 in the snapshot ($4, $5), as far as CDRs tell of them; goes on after ($6, $7), $8 rows.
-- A credit tells what its charge tells, but for the amounts.
select b.id, b.kind, b.corrects, b.session_id, b.station_id, b.connector, b.site_id, b.driver_id, b.token_masked,
    b.means, b.currency, b.total_minor, b.vat_minor, b.reason, b.issued_at, of.started_at, of.ended_at, of.energy_wh,
    of.seconds, of.periods::text as periods, t.document::text as tariff, s.name as site_name, s.time_zone
from bill b
cross join lateral (select * from bill where bill.id = coalesce(b.corrects, b.id) limit 1) of
cross join lateral (
    select document from tariff where tariff.id = b.tariff_id and tariff.version = b.tariff_version limit 1) t
left join lateral (select name, time_zone from site where site.id = b.site_id limit 1) s on true
where b.issued_at >= greatest(coalesce($1::timestamptz, '-infinity'), coalesce($6::timestamptz, '-infinity'))
and b.issued_at < coalesce($2::timestamptz, 'infinity')
and in_snapshot(b.era, b.xid, $4::smallint, $5::text::pg_snapshot)
and ($3::text is null or b.provider_id = $3)
and ($6::timestamptz is null or (b.issued_at, b.id) > ($6, $7::uuid))
order by b.issued_at, b.id
limit $8::bigint;
