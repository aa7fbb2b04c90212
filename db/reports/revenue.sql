-- Bills added up by currency and by what is asked: energy, time, fees, VAT and all shares. From sums that are kept up.
-- $1 from: bills issued at this time or later
-- $2 to: bills issued before this time
-- $3 provider: this provider's only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 by: `day` (when nothing is said), `provider`, `operator`, `station`, `connector_kind` or `tariff`
-- $7 zone: the time zone in which days begin and end (UTC when nothing is said)
-- $8 as_of: issued up to this time, as they were first known for it
-- $9 era: of the snapshot of as_of
-- $10 snapshot: of as_of
with part as (
    select (q.began at time zone coalesce($7::text, 'UTC'))::date::text as key,
        q.provider_id, q.currency, q.bills, q.energy_wh, q.seconds, q.total_minor, q.vat_minor, q.not_charged_minor,
        q.operator_minor, q.operator_vat_minor, q.provider_minor, q.host_minor
    from summed_spans('15 minutes', $1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) q
    where coalesce($6::text, 'day') = 'day'
    union all
    select (b.issued_at at time zone coalesce($7::text, 'UTC'))::date::text,
        b.provider_id, b.currency, 1, b.energy_wh, b.seconds, b.total_minor, b.vat_minor, b.not_charged_minor,
        b.operator_minor, b.operator_vat_minor, b.provider_minor, b.host_minor
    from unsummed_bills('15 minutes', $1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) b
    where coalesce($6::text, 'day') = 'day'
    union all
    select case $6::text when 'provider' then d.provider_id else 'operator' end,
        d.provider_id, d.currency, d.bills, d.energy_wh, d.seconds, d.total_minor, d.vat_minor, d.not_charged_minor,
        d.operator_minor, d.operator_vat_minor, d.provider_minor, d.host_minor
    from summed_spans('1 day', $1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) d
    where $6::text in ('provider', 'operator')
    union all
    select case $6::text when 'station' then d.station_id when 'tariff' then d.tariff_id
            else coalesce(c.kind, 'unknown') end,
        d.provider_id, d.currency, d.bills, d.energy_wh, d.seconds, d.total_minor, d.vat_minor, d.not_charged_minor,
        d.operator_minor, d.operator_vat_minor, d.provider_minor, d.host_minor
    from summed_days($1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) d
    left join connector c on c.station_id = d.station_id and c.number = d.connector and $6::text = 'connector_kind'
    where coalesce($6::text, 'day') in ('station', 'connector_kind', 'tariff')
    union all
    select case $6::text when 'station' then b.station_id when 'tariff' then b.tariff_id
            when 'provider' then b.provider_id when 'operator' then 'operator' else coalesce(c.kind, 'unknown') end,
        b.provider_id, b.currency, 1, b.energy_wh, b.seconds, b.total_minor, b.vat_minor, b.not_charged_minor,
        b.operator_minor, b.operator_vat_minor, b.provider_minor, b.host_minor
    from unsummed_bills('1 day', $1::timestamptz, least($2::timestamptz, $8::timestamptz + interval '1 microsecond'),
        $9::smallint, $10::text::pg_snapshot) b
    left join connector c on c.station_id = b.station_id and c.number = b.connector and $6::text = 'connector_kind'
    where coalesce($6::text, 'day') <> 'day'),
summed as (
    select p.key, p.currency, sum(p.bills)::bigint as bills, sum(p.energy_wh)::bigint as energy_wh,
        sum(p.seconds)::bigint as seconds, sum(p.total_minor)::bigint as fees_minor,
        sum(p.vat_minor)::bigint as vat_minor, sum(p.not_charged_minor)::bigint as not_charged_minor,
        sum(p.operator_minor)::bigint as operator_share_minor,
        sum(p.operator_vat_minor)::bigint as operator_vat_minor, sum(p.provider_minor)::bigint as provider_share_minor,
        sum(p.host_minor)::bigint as host_share_minor
    from part p
    where $3::text is null or p.provider_id = $3
    group by p.key, p.currency)
select coalesce($6::text, 'day') as by, s.key, s.currency, s.bills, s.energy_wh, s.seconds, s.fees_minor,
    s.vat_minor, s.not_charged_minor, s.operator_share_minor, s.operator_vat_minor, s.provider_share_minor,
    s.host_share_minor,
    json_build_array(s.key, s.currency)::text as _cursor,
    json_build_object('path', '/reports/bills', 'parameters', case
        when coalesce($6::text, 'day') = 'day' then json_build_object('currency', s.currency,
            'from', greatest(s.key::timestamp at time zone coalesce($7::text, 'UTC'), $1::timestamptz),
            'to', least((s.key::date + 1)::timestamp at time zone coalesce($7::text, 'UTC'), $2::timestamptz))
        when coalesce($6::text, 'day') = 'operator' or s.key = 'unknown' then json_build_object('currency', s.currency)
        else json_build_object('currency', s.currency, $6::text, s.key) end)::text as _link
from summed s
where $4::jsonb is null
or (s.key, s.currency) > ($4::jsonb ->> 0, $4::jsonb ->> 1)
order by s.key, s.currency
limit $5::bigint
