-- Each provider's bills added up by currency, and by day or for the whole period: fees, shares, VAT, what is paid, what is open.
-- as_of is refused: what is paid changes; `revenue` tells fees and shares as of an instant
-- $1 from: bills issued at this time or later
-- $2 to: bills issued before this time
-- $3 provider: this provider's only
-- $4 after: go on after this row
-- $5 limit: at most so many rows
-- $6 by: `day` (when nothing is said) or `period`
-- $7 zone: the time zone in which days begin and end (UTC when nothing is said)
with billed as (
    select b.id, b.session_id, b.kind, b.provider_id, b.currency,
        case when $6::text = 'period' then null
            else (b.issued_at at time zone coalesce($7::text, 'UTC'))::date end as day,
        b.energy_wh, b.total_minor, b.vat_minor, b.operator_minor, b.operator_vat_minor, b.provider_minor,
        b.host_minor
    from bill b
    where b.issued_at >= coalesce($1::timestamptz, '-infinity')
    and b.issued_at < coalesce($2::timestamptz, 'infinity')
    and ($3::text is null or b.provider_id = $3)),
paid as (
    select b.id, sum(r.amount_minor) filter (where r.payee <> 'operator') as provider_paid_minor,
        sum(r.amount_minor) filter (where r.payee = 'operator') as operator_paid_minor
    from billed b
    join remittance_item r on r.bill_id = b.id and r.state = 'paid'
    group by b.id),
-- what the statement run paid: bills of its own, and those it took over from a psp
run as (
    select b.id, sum(b.provider_minor) as provider_paid_minor
    from billed b
    cross join lateral (
        select s.statement_id from statement_bill s where s.bill_id = b.id and s.paid_by = 'run'
        union all
        select a.statement_id from statement_adjustment a where a.bill_id = b.id and a.kind = 'psp_failed') on_statement
    join remittance r on r.statement_id = on_statement.statement_id and r.currency = b.currency and r.state = 'paid'
    group by b.id),
summed as (
    select b.provider_id, b.currency, b.day, count(distinct b.session_id) as sessions,
        count(*) filter (where b.kind = 'credit') as credits, sum(b.energy_wh)::bigint as energy_wh,
        sum(b.total_minor)::bigint as fees_minor, sum(b.vat_minor)::bigint as vat_minor,
        sum(b.operator_minor)::bigint as operator_minor, sum(b.operator_vat_minor)::bigint as operator_vat_minor,
        sum(b.provider_minor)::bigint as provider_minor, sum(b.host_minor)::bigint as host_minor,
        (coalesce(sum(p.provider_paid_minor), 0) + coalesce(sum(run.provider_paid_minor), 0))::bigint
            as provider_paid_minor,
        coalesce(sum(p.operator_paid_minor), 0)::bigint as operator_paid_minor
    from billed b
    left join paid p on p.id = b.id
    left join run on run.id = b.id
    group by b.provider_id, b.currency, b.day)
select s.provider_id as provider, s.currency, s.day, s.sessions, s.credits, s.energy_wh, s.fees_minor, s.vat_minor,
    s.operator_minor as operator_share_minor, s.operator_vat_minor,
    case when own_provider() is null then s.operator_paid_minor end as operator_paid_minor,
    s.provider_minor as provider_share_minor, s.provider_paid_minor,
    s.provider_minor - s.provider_paid_minor as provider_open_minor, s.host_minor as host_share_minor,
    json_build_array(s.provider_id, s.currency, s.day)::text as _cursor,
    json_build_object('path', '/reports/bills', 'parameters', json_strip_nulls(json_build_object(
        'provider', s.provider_id, 'currency', s.currency,
        'from', greatest(s.day::timestamp at time zone coalesce($7::text, 'UTC'), $1::timestamptz),
        'to', least((s.day + 1)::timestamp at time zone coalesce($7::text, 'UTC'), $2::timestamptz))))::text as _link
from summed s
where $4::jsonb is null
or (s.provider_id, s.currency, coalesce(s.day, '-infinity'::date)) > (
    $4::jsonb ->> 0, $4::jsonb ->> 1, coalesce(($4::jsonb ->> 2)::date, '-infinity'::date))
order by s.provider_id, s.currency, s.day
limit $5::bigint
