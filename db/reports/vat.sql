-- VAT by provider, currency and month, day or the whole period: supplies, their VAT, and whose it is.
-- $1 from: bills issued at this time or later
-- $2 to: bills issued before this time
-- $3 provider: this provider's only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 by: `month` (when nothing is said), `day` or `period`
-- $7 zone: the time zone in which days and months begin and end (UTC when nothing is said)
-- $8 as_of: issued up to this time, as they were first known for it
-- $9 era: of the snapshot of as_of
-- $10 snapshot: of as_of
with part as (
    select q.began as at, q.provider_id, q.currency, q.bills, q.total_minor, q.vat_minor, q.operator_minor,
        q.operator_vat_minor, q.provider_minor, q.host_minor
    from summed_spans('15 minutes', $1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) q
    union all
    select b.issued_at, b.provider_id, b.currency, 1, b.total_minor, b.vat_minor, b.operator_minor,
        b.operator_vat_minor, b.provider_minor, b.host_minor
    from unsummed_bills('15 minutes', $1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) b),
summed as (
    select p.provider_id, p.currency,
        case coalesce($6::text, 'month') when 'day' then to_char(p.at at time zone coalesce($7::text, 'UTC'), 'YYYY-MM-DD')
            when 'month' then to_char(p.at at time zone coalesce($7::text, 'UTC'), 'YYYY-MM') end as period,
        sum(p.bills)::bigint as bills, sum(p.total_minor)::bigint as fees_minor,
        sum(p.total_minor - p.vat_minor)::bigint as supply_minor, sum(p.vat_minor)::bigint as vat_minor,
        sum(p.operator_minor)::bigint as operator_share_minor,
        sum(p.operator_vat_minor)::bigint as operator_vat_minor,
        sum(p.provider_minor)::bigint as provider_share_minor, sum(p.host_minor)::bigint as host_share_minor,
        sum(p.vat_minor - p.operator_vat_minor)::bigint as provider_vat_minor
    from part p
    where $3::text is null or p.provider_id = $3
    group by 1, 2, 3)
select s.provider_id as provider, s.currency, s.period, s.bills, s.fees_minor, s.supply_minor, s.vat_minor,
    s.operator_share_minor, s.operator_vat_minor, s.provider_share_minor, s.provider_vat_minor,
    s.host_share_minor,
    json_build_array(s.provider_id, s.currency, s.period)::text as _cursor,
    json_build_object('path', '/reports/bills', 'parameters', json_strip_nulls(json_build_object(
        'provider', s.provider_id, 'currency', s.currency,
        'from', greatest(first.day::timestamp at time zone coalesce($7::text, 'UTC'), $1::timestamptz),
        'to', least((first.day + length)::timestamp at time zone coalesce($7::text, 'UTC'), $2::timestamptz))))::text as _link
from summed s
cross join lateral (
    select case coalesce($6::text, 'month') when 'day' then s.period::date when 'month' then (s.period || '-01')::date end as day,
        case coalesce($6::text, 'month') when 'day' then interval '1 day' when 'month' then interval '1 month' end as length) first
where $4::jsonb is null
or (s.provider_id, s.currency, coalesce(s.period, '')) > ($4::jsonb ->> 0, $4::jsonb ->> 1, coalesce($4::jsonb ->> 2, ''))
order by s.provider_id, s.currency, s.period
limit $5::bigint
