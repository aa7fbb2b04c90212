-- Prepaid money we owe drivers, and how old it is: the oldest is spent first, so what is left came in last.
-- $1 after: go on after this row
-- $2 limit: at most so many rows
-- $3 by: `driver` (when nothing is said) or `currency`
-- $4 as_of: transfers of events up to this time, as they were first known for it
-- $5 era: of the snapshot of as_of
-- $6 snapshot: of as_of
-- $7 driver: this driver's only
with owed as (
    select g.address, g.asset, split_part(g.address, ':', 2) as driver,
        sum(case when t.credit = g.address then t.amount else -t.amount end)::bigint as balance
    from guarded_account g
    cross join lateral (
        select t.debit, t.credit, t.amount, t.at, t.era, t.xid from transfer t where t.credit = g.address and t.asset = g.asset
        union all
        select t.debit, t.credit, t.amount, t.at, t.era, t.xid from transfer t where t.debit = g.address and t.asset = g.asset) t
    where g.address like 'driver:%:balance'
    and ($7::text is null or g.address = 'driver:' || $7 || ':balance')
    and ($3::text = 'currency' or $1::jsonb is null
        or (g.address, g.asset) > ('driver:' || ($1::jsonb ->> 0) || ':balance', $1::jsonb ->> 1))
    and t.at <= coalesce($4::timestamptz, 'infinity')
    and in_snapshot(t.era, t.xid, $5::smallint, $6::text::pg_snapshot)
    group by g.address, g.asset
    having sum(case when t.credit = g.address then t.amount else -t.amount end) <> 0),
-- money that came in; what was set aside for a use, or paid for a voucher, and came back is not new
lot as (
    select o.driver, o.asset, coalesce($4::timestamptz, now()) - l.at as age,
        greatest(0, least(l.amount, o.balance - l.later)) as open
    from owed o
    cross join lateral (
        select t.at, t.amount,
            sum(t.amount) over (order by t.at desc, t.posting_id desc, t.seq desc) - t.amount as later
        from transfer t
        where t.credit = o.address
        and t.asset = o.asset
        and t.debit not like '%:held'
        and t.debit not like 'voucher:%'
        and t.at <= coalesce($4::timestamptz, 'infinity')
        and in_snapshot(t.era, t.xid, $5::smallint, $6::text::pg_snapshot)) l),
aged as (
    select case when $3::text = 'currency' then null else l.driver end as driver, l.asset as currency,
        sum(l.open)::bigint as balance_minor,
        coalesce(sum(l.open) filter (where l.age <= interval '30 days'), 0)::bigint as to_30_days_minor,
        coalesce(sum(l.open) filter (where l.age > interval '30 days' and l.age <= interval '90 days'), 0)::bigint
            as to_90_days_minor,
        coalesce(sum(l.open) filter (where l.age > interval '90 days' and l.age <= interval '180 days'), 0)::bigint
            as to_180_days_minor,
        coalesce(sum(l.open) filter (where l.age > interval '180 days' and l.age <= interval '365 days'), 0)::bigint
            as to_365_days_minor,
        coalesce(sum(l.open) filter (where l.age > interval '365 days'), 0)::bigint as older_minor
    from lot l
    group by 1, 2)
select a.driver, a.currency, a.balance_minor, a.to_30_days_minor, a.to_90_days_minor, a.to_180_days_minor,
    a.to_365_days_minor, a.older_minor,
    json_build_array(coalesce(a.driver, ''), a.currency)::text as _cursor,
    json_build_object('path', coalesce('/ledger/accounts/driver:' || a.driver || ':balance', '/reports/prepaid-liability'))::text
        as _link
from aged a
where $1::jsonb is null
or (coalesce('driver:' || a.driver || ':balance', ''), a.currency) > (
    case when $3::text = 'currency' then '' else 'driver:' || ($1::jsonb ->> 0) || ':balance' end, $1::jsonb ->> 1)
order by 'driver:' || a.driver || ':balance', a.currency
limit $2::bigint
