-- What vouchers that were sold still owe their drivers, per product: units, and the money that is not earned yet.
-- $1 after: go on after this row
-- $2 limit: at most so many rows
-- $3 provider: this provider's products only
-- $4 currency: sold in this currency only
-- $5 as_of: transfers of events up to this time, as they were first known for it
-- $6 era: of the snapshot of as_of
-- $7 snapshot: of as_of
with sold as (
    select v.id, v.product_id, v.provider_id, v.unit, v.currency, 'voucher:' || v.id || ':' || v.unit as units,
        'voucher:' || v.id || ':deferred' as deferred
    from voucher v
    where v.funded_by is null
    and ($3::text is null or v.provider_id = $3)
    and ($4::text is null or v.currency = $4)),
moved as (
    select s.id, t.*, p.kind
    from sold s
    cross join lateral (
        select t.posting_id, t.credit = s.units as is_in, t.credit = s.units or t.debit = s.units as is_units,
            t.debit, t.credit, t.amount, t.at, t.era, t.xid
        from transfer t
        where t.credit in (s.units, s.deferred)
        union all
        select t.posting_id, false, t.debit = s.units, t.debit, t.credit, t.amount, t.at, t.era, t.xid
        from transfer t
        where t.debit in (s.units, s.deferred)) t
    join posting p on p.id = t.posting_id
    where t.at <= coalesce($5::timestamptz, 'infinity')
    and in_snapshot(t.era, t.xid, $6::smallint, $7::text::pg_snapshot)),
per_voucher as (
    select m.id,
        coalesce(sum(m.amount) filter (where m.is_units and m.kind = 'voucher_bought'), 0) as units_sold,
        coalesce(sum(m.amount) filter (where m.is_units and m.kind = 'voucher_refunded'), 0) as units_given_back,
        coalesce(sum(m.amount) filter (where m.is_units and m.kind = 'voucher_lapsed'), 0) as units_lapsed,
        coalesce(sum(case when m.is_in then -m.amount else m.amount end)
            filter (where m.is_units and m.kind not in ('voucher_bought', 'voucher_refunded', 'voucher_lapsed')), 0)
            as units_used,
        coalesce(sum(m.amount) filter (where not m.is_units and m.kind = 'voucher_bought'), 0) as price_minor,
        coalesce(sum(m.amount) filter (where not m.is_units and m.kind = 'voucher_refunded'), 0) as given_back_minor,
        coalesce(sum(m.amount) filter (where not m.is_units and m.kind = 'voucher_lapsed'), 0) as breakage_minor,
        coalesce(sum(case when m.debit like 'voucher:%' then m.amount else -m.amount end)
            filter (where not m.is_units and m.kind not in ('voucher_bought', 'voucher_refunded', 'voucher_lapsed')), 0)
            as released_minor
    from moved m
    group by m.id),
owed as (
    select s.product_id as product, s.provider_id as provider, s.unit, s.currency, count(*) as sold,
        sum(u.units_sold)::bigint as units_sold, sum(u.units_used)::bigint as units_used,
        sum(u.units_given_back)::bigint as units_given_back, sum(u.units_lapsed)::bigint as units_lapsed,
        sum(u.units_sold - u.units_used - u.units_given_back - u.units_lapsed)::bigint as units_left,
        sum(u.price_minor)::bigint as price_minor, sum(u.released_minor)::bigint as released_minor,
        sum(u.given_back_minor)::bigint as given_back_minor, sum(u.breakage_minor)::bigint as breakage_minor,
        sum(u.price_minor - u.released_minor - u.given_back_minor - u.breakage_minor)::bigint as deferred_minor
    from per_voucher u
    join sold s on s.id = u.id
    group by s.product_id, s.provider_id, s.unit, s.currency)
select o.product, o.provider, o.unit, o.currency, o.sold, o.units_sold, o.units_used, o.units_given_back,
    o.units_lapsed, o.units_left, o.price_minor, o.released_minor, o.given_back_minor, o.breakage_minor,
    o.deferred_minor,
    json_build_array(o.product, o.unit, o.currency)::text as _cursor,
    json_build_object('path', '/voucher-products/' || o.product)::text as _link
from owed o
where $1::jsonb is null
or (o.product, o.unit, o.currency) > ($1::jsonb ->> 0, $1::jsonb ->> 1, $1::jsonb ->> 2)
order by o.product, o.unit, o.currency
limit $2::bigint
