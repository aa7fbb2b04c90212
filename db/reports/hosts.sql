-- What hosts of sites are due for the electricity of portable chargers: by site, currency and month, day or the whole period.
-- $1 from: bills issued at this time or later
-- $2 to: bills issued before this time
-- $3 provider: out of this provider's bills only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 by: `month` (when nothing is said), `day` or `period`
-- $7 zone: the time zone in which days and months begin and end (UTC when nothing is said)
-- $8 as_of: issued up to this time, as they were first known for it
-- $9 era: of the snapshot of as_of
-- $10 snapshot: of as_of
-- $11 site: of this site
with summed as (
    select b.site_id, b.provider_id, b.currency,
        case coalesce($6::text, 'month')
            when 'day' then to_char(b.issued_at at time zone coalesce($7::text, 'UTC'), 'YYYY-MM-DD')
            when 'month' then to_char(b.issued_at at time zone coalesce($7::text, 'UTC'), 'YYYY-MM') end as period,
        count(distinct b.session_id) as sessions, sum(b.energy_wh)::bigint as energy_wh,
        sum(b.total_minor)::bigint as fees_minor, sum(b.host_minor)::bigint as host_share_minor
    from bill b
    -- also a credit that is too small for a part of the host
    join session s on s.station_id = b.station_id and s.id = b.session_id and s.host_bp > 0
    where b.site_id is not null
    and b.issued_at >= coalesce($1::timestamptz, '-infinity')
    and b.issued_at < coalesce($2::timestamptz, 'infinity')
    and b.issued_at <= coalesce($8::timestamptz, 'infinity')
    and in_snapshot(b.era, b.xid, $9::smallint, $10::text::pg_snapshot)
    and ($3::text is null or b.provider_id = $3)
    and ($11::text is null or b.site_id = $11)
    group by 1, 2, 3, 4)
select s.site_id as site, h.host_name as host, s.provider_id as provider, s.currency, s.period, s.sessions, s.energy_wh,
    s.fees_minor, s.host_share_minor,
    -- nothing pays hosts yet: their accounts hold all of it
    0::bigint as host_paid_minor,
    json_build_array(s.site_id, s.provider_id, s.currency, s.period)::text as _cursor,
    json_build_object('path', '/reports/bills', 'parameters', json_strip_nulls(json_build_object(
        'site', s.site_id, 'provider', s.provider_id, 'currency', s.currency,
        'from', greatest(first.day::timestamp at time zone coalesce($7::text, 'UTC'), $1::timestamptz),
        'to', least((first.day + length)::timestamp at time zone coalesce($7::text, 'UTC'), $2::timestamptz))))::text as _link
from summed s
left join site h on h.id = s.site_id
cross join lateral (
    select case coalesce($6::text, 'month') when 'day' then s.period::date when 'month' then (s.period || '-01')::date end as day,
        case coalesce($6::text, 'month') when 'day' then interval '1 day' when 'month' then interval '1 month' end as length) first
where $4::jsonb is null
or (s.site_id, s.provider_id, s.currency, coalesce(s.period, ''))
    > ($4::jsonb ->> 0, $4::jsonb ->> 1, $4::jsonb ->> 2, coalesce($4::jsonb ->> 3, ''))
order by s.site_id, s.provider_id, s.currency, s.period
limit $5::bigint
