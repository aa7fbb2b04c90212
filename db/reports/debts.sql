-- What drivers owe us: how much, and since when the oldest of it. What is paid pays the oldest first.
-- $1 after: go on after this row
-- $2 limit: at most so many rows
-- $3 as_of: transfers of events up to this time, as they were first known for it
-- $4 era: of the snapshot of as_of
-- $5 snapshot: of as_of
-- $6 driver: this driver's only
with indebted as (
    select distinct t.debit as address, t.asset
    from transfer t
    where t.debit like 'driver:%:debt'
    and ($6::text is null or t.debit = 'driver:' || $6 || ':debt')),
owing as (
    select i.address, i.asset, sum(case when t.debit = i.address then t.amount else -t.amount end)::bigint as owed
    from indebted i
    cross join lateral (
        select t.debit, t.amount, t.at, t.era, t.xid from transfer t where t.debit = i.address and t.asset = i.asset
        union all
        select t.debit, t.amount, t.at, t.era, t.xid from transfer t where t.credit = i.address and t.asset = i.asset) t
    where t.at <= coalesce($3::timestamptz, 'infinity')
    and in_snapshot(t.era, t.xid, $4::smallint, $5::text::pg_snapshot)
    group by i.address, i.asset)
select split_part(o.address, ':', 2) as driver, o.asset as currency, o.owed as owed_minor, oldest.at as since,
    json_build_array(o.address, o.asset)::text as _cursor,
    json_build_object('path', '/ledger/accounts/' || o.address)::text as _link
from owing o
cross join lateral (
    select min(d.at) as at
    from (
        select t.at, sum(t.amount) over (order by t.at desc, t.posting_id desc, t.seq desc) - t.amount as later
        from transfer t
        where t.debit = o.address
        and t.asset = o.asset
        and t.at <= coalesce($3::timestamptz, 'infinity')
        and in_snapshot(t.era, t.xid, $4::smallint, $5::text::pg_snapshot)) d
    where d.later < o.owed) oldest
where o.owed > 0
and ($1::jsonb is null or (o.address, o.asset) > ($1::jsonb ->> 0, $1::jsonb ->> 1))
order by o.address, o.asset
limit $2::bigint
