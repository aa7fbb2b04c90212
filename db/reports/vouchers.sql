-- What vouchers came to, per product: how often offered and taken, sold, used, what they saved, and what was lost.
-- as_of is refused: vouchers change until they are used up; `voucher-liability` tells their money as of an instant
-- $1 after: go on after this row
-- $2 limit: at most so many rows
-- $3 provider: this provider's products only
-- $4 currency: sold in this currency only
-- $5 from: offered or sold from this time on
-- $6 to: offered or sold before this time
with sold as (
    select v.product_id as product, v.provider_id as provider, v.unit, v.currency, count(*) as sold,
        count(distinct v.driver_id) as drivers, count(*) filter (where v.used > 0) as used,
        count(*) filter (where v.used = v.total) as used_up, count(*) filter (where v.state = 'refunded') as given_back,
        count(*) filter (where v.state = 'expired') as lapsed, sum(v.total)::bigint as units_sold,
        sum(v.used)::bigint as units_used, sum(u.uses)::bigint as uses, sum(v.price_minor)::bigint as price_minor,
        sum(v.released_minor)::bigint as released_minor, sum(u.covered_minor)::bigint as covered_minor,
        sum(u.covered_minor - u.paid_minor)::bigint as saved_minor
    from voucher v
    cross join lateral (
        select coalesce(sum(sign(units)), 0) as uses, coalesce(sum(value_minor), 0) as covered_minor,
            coalesce(sum(minor) filter (where value_minor is not null), 0) as paid_minor
        from voucher_use
        where voucher_use.voucher_id = v.id) u
    where ($3::text is null or v.provider_id = $3)
    and ($4::text is null or v.currency = $4)
    and v.funded_by is null
    and v.bought_at >= coalesce($5::timestamptz, '-infinity')
    and v.bought_at < coalesce($6::timestamptz, 'infinity')
    group by v.product_id, v.provider_id, v.unit, v.currency),
offered as (
    select o.product_id as product, o.provider_id as provider, p.unit, p.currency, sum(o.offered)::bigint as offered,
        sum(o.taken)::bigint as taken
    from voucher_offered o
    join voucher_product p on p.id = o.product_id and p.version = o.product_version
    where ($3::text is null or o.provider_id = $3)
    and ($4::text is null or p.currency = $4)
    and o.began >= coalesce($5::timestamptz, '-infinity')
    and o.began < coalesce($6::timestamptz, 'infinity')
    group by o.product_id, o.provider_id, p.unit, p.currency)
select product, coalesce(s.provider, o.provider) as provider, unit, currency, coalesce(o.offered, 0) as offered,
    coalesce(o.taken, 0) as taken, coalesce(s.sold, 0) as sold, coalesce(s.drivers, 0) as drivers,
    coalesce(s.used, 0) as used, coalesce(s.used_up, 0) as used_up, coalesce(s.given_back, 0) as given_back,
    coalesce(s.lapsed, 0) as lapsed, coalesce(s.units_sold, 0) as units_sold, coalesce(s.units_used, 0) as units_used,
    coalesce(s.uses, 0) as uses, coalesce(s.price_minor, 0) as price_minor,
    coalesce(s.released_minor, 0) as released_minor, coalesce(s.covered_minor, 0) as covered_minor,
    coalesce(s.saved_minor, 0) as saved_minor,
    json_build_array(product, unit, currency)::text as _cursor,
    json_build_object('path', '/voucher-products/' || product)::text as _link
from sold s
full join offered o using (product, unit, currency)
where $1::jsonb is null
or (product, unit, currency) > ($1::jsonb ->> 0, $1::jsonb ->> 1, $1::jsonb ->> 2)
order by product, unit, currency
limit $2::bigint
