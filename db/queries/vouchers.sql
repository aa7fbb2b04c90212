-- Rights to use that are sold, bought and given back.

-- name: lock_voucher_product
-- Lets one request at a time add versions of a product.
select pg_advisory_xact_lock(hashtext('voucher product'), hashtext($1::text));

-- name: add_voucher_product
-- Adds a version of a product.
insert into voucher_product (id, version, provider_id, name, unit, amount, price_minor, currency, vat_percent,
    valid_days, carry_over, overuse_price, refund, effect, conditions, uses_max, quota, on_sale, country, created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14::text::jsonb, $15::text::jsonb, $16, $17, $18, $19,
    $20);

-- name: show_voucher_product
-- The newest version of a product.
select id, version, provider_id, name, unit, amount, price_minor, currency, vat_percent, valid_days, carry_over,
    overuse_price, refund, effect::text, conditions::text, uses_max, quota, on_sale, country, created_at
from voucher_product
where id = $1
order by version desc
limit 1;

-- name: show_voucher_product_version
-- One version of a product.
select id, version, provider_id, name, unit, amount, price_minor, currency, vat_percent, valid_days, carry_over,
    overuse_price, refund, effect::text, conditions::text, uses_max, quota, on_sale, country, created_at
from voucher_product
where id = $1
and version = $2;

-- name: list_voucher_products
-- The newest version of each product, by id.
select distinct on (id) id, version, provider_id, name, unit, amount, price_minor, currency, vat_percent, valid_days,
    carry_over, overuse_price, refund, effect::text, conditions::text, uses_max, quota, on_sale, country, created_at
from voucher_product
where id > $1
and ($3::text is null or provider_id = $3)
order by id, version desc
limit $2;

-- name: add_voucher
-- A voucher that was just paid.
insert into voucher (id, version, driver_id, provider_id, product_id, product_version, unit, total, used, price_minor,
    released_minor, currency, vat_percent, overuse_price, valid_from, valid_until, carry_until, refund, state,
    bought_at, uses_max, terms, token_key)
values ($1, 1, $2, $3, $4, $5, $6, $7, 0, $8, 0, $9, $10, $11, $12, $13, $14, $15, 'active', $12, $16, $17, $18);

-- name: count_valid_vouchers
-- How many vouchers of a product are sold and valid at $2; gifts are not sold.
select count(*)
from voucher
where product_id = $1
and funded_by is null
and state = 'active'
and valid_until > $2;

-- name: show_voucher
-- A driver's voucher; `is_valid`: what is left may be used at $3, also what another one of its product carries on;
-- `vehicle_id`: for which alone it counts, while its driver has it.
select v.id, v.version, v.driver_id, v.provider_id, v.product_id, v.product_version, p.name, v.unit, v.total, v.used,
    v.price_minor, v.released_minor, v.currency, v.vat_percent, v.overuse_price, v.valid_from, v.valid_until,
    v.carry_until, v.refund, v.state, v.bought_at, v.uses, v.uses_max, v.terms, v.funded_by, v.token_key,
    (select c.id from vehicle c where c.driver_id = v.driver_id and c.key = v.token_key order by c.id limit 1)
        as vehicle_id,
    v.state = 'active' and v.valid_from <= $3 and (
        $3 < v.valid_until
        or $3 < v.carry_until and exists (
            select from voucher o
            where o.driver_id = v.driver_id
            and o.product_id = v.product_id
            and o.token_key is not distinct from v.token_key
            and o.currency = v.currency
            and o.state = 'active'
            and o.valid_from <= $3
            and $3 < o.valid_until)) is true as is_valid
from voucher v
join voucher_product p on p.id = v.product_id and p.version = v.product_version
where v.driver_id = $1
and v.id = $2;

-- name: list_vouchers
-- A driver's vouchers as `show_voucher` shows them, in state $6, valid at $3 or not ($7); the newest first, below ($2, $4).
select id, version, driver_id, provider_id, product_id, product_version, name, unit, total, used, price_minor, released_minor,
    currency, vat_percent, overuse_price, valid_from, valid_until, carry_until, refund, state, bought_at, uses, uses_max,
    terms, funded_by, token_key, vehicle_id, is_valid
from (
    select v.id, v.version, v.driver_id, v.provider_id, v.product_id, v.product_version, p.name, v.unit, v.total, v.used,
        v.price_minor, v.released_minor, v.currency, v.vat_percent, v.overuse_price, v.valid_from, v.valid_until,
        v.carry_until, v.refund, v.state, v.bought_at, v.uses, v.uses_max, v.terms, v.funded_by, v.token_key,
        (select c.id from vehicle c where c.driver_id = v.driver_id and c.key = v.token_key order by c.id limit 1)
            as vehicle_id,
        v.state = 'active' and v.valid_from <= $3 and (
            $3 < v.valid_until
            or $3 < v.carry_until and exists (
                select from voucher o
                where o.driver_id = v.driver_id
                and o.product_id = v.product_id
                and o.token_key is not distinct from v.token_key
                and o.currency = v.currency
                and o.state = 'active'
                and o.valid_from <= $3
                and $3 < o.valid_until)) is true as is_valid
    from voucher v
    join voucher_product p on p.id = v.product_id and p.version = v.product_version
    where v.driver_id = $1
    and (v.valid_from, v.id) < ($2::timestamptz, $4::uuid)
    and ($6::text is null or v.state = $6)) w
where ($7::boolean is null or is_valid = $7)
order by valid_from desc, id desc
limit $5;

-- name: list_voucher_uses
-- What bills took of a voucher, and (below zero) what credits gave back, in their order.
select u.session_id, u.revision, u.units, u.minor, u.value_minor, u.at, s.station_id, r.item
from voucher_use u
left join lateral (select station_id from session where session.id = u.session_id limit 1) s on true
left join rental r on r.id = u.session_id
where u.voucher_id = $1
order by u.at, u.session_id, u.revision
limit $2;

-- name: awaits_late_end
-- Whether a session of a driver has ended for want of news: its true end may still take of vouchers.
select exists (
    select from session
    where driver_id = $1
    and state = 'provisional'
    and 'vouchers' = any (flags));

-- name: give_voucher_back
-- A voucher that goes back as it was seen; no row comes back when a use was first.
update voucher
set state = 'refunded', version = version + 1
where id = $1
and version = $2
and state = 'active'
returning id;
