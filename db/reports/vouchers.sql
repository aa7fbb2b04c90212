-- What vouchers came to, per product: offered, sold, used, what they saved their drivers, and what was lost.
-- as_of is refused: vouchers change until they are used up; `voucher-liability` tells their money as of an instant
-- $1 after: go on after this row
-- $2 limit: at most so many rows
-- $3 provider: this provider's products only
-- $4 currency: sold in this currency only
-- $5 from: sold from this time on
-- $6 to: sold before this time
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
    group by v.product_id, v.provider_id, v.unit, v.currency)
select s.*, json_build_array(s.product, s.unit, s.currency)::text as _cursor,
    json_build_object('path', '/voucher-products/' || s.product)::text as _link
from sold s
where $1::jsonb is null
or (s.product, s.unit, s.currency) > ($1::jsonb ->> 0, $1::jsonb ->> 1, $1::jsonb ->> 2)
order by s.product, s.unit, s.currency
limit $2::bigint
