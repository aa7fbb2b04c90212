-- Vouchers that are given away: batches, their codes, and how these become somebody's.

-- name: add_voucher_batch
-- A batch of codes for a version of a product; no row comes back when the id is taken.
insert into voucher_batch (id, product_id, product_version, provider_id, count, funded_by, note, redeem_until, created_by,
    created_at)
values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
on conflict (id) do nothing
returning id;

-- name: add_bearers
-- The drivers without a name, one per code. They are nobody whose ways could be known.
insert into driver (id, created_at, is_bearer, keeps_tendency)
select id, $2, true, false
from unnest($1::text[]) k (id);

-- name: add_gift_tokens
-- The codes as tokens of these drivers ($2), by their hashes ($1).
insert into token (key, type, driver_id, created_at)
select k.key, 'voucher', k.driver_id, $3
from unnest($1::bytea[], $2::text[]) k (key, driver_id);

-- name: add_gift_vouchers
-- The vouchers of batch $3, ids $1, of these drivers ($2), until its end; nobody is told of that. $4 pays, $5 are terms.
insert into voucher (id, version, driver_id, provider_id, product_id, product_version, unit, total, used, price_minor,
    released_minor, currency, vat_percent, overuse_price, valid_from, valid_until, refund, state, bought_at, uses_max,
    terms, told_at, funded_by)
select k.id, 1, k.driver_id, p.provider_id, p.id, p.version, p.unit, p.amount, 0, p.price_minor, 0, p.currency,
    p.vat_percent, p.overuse_price, b.created_at, b.redeem_until, 'none', 'active', b.created_at, p.uses_max, $5,
    b.created_at, $4
from unnest($1::uuid[], $2::text[]) k (id, driver_id)
join voucher_batch b on b.id = $3
join voucher_product p on p.id = b.product_id and p.version = b.product_version;

-- name: add_gifts
-- Which code ($3) and driver ($4) belong to which voucher ($1) of batch $2.
insert into voucher_gift (voucher_id, batch_id, key, bearer)
select k.id, $2, k.key, k.bearer
from unnest($1::uuid[], $3::bytea[], $4::text[]) k (id, key, bearer);

-- name: list_voucher_batches
-- Batches of product $3 (null: all), by id.
select b.id, b.product_id, b.product_version, b.provider_id, b.count, b.funded_by, b.note, b.redeem_until, b.created_by,
    b.created_at, b.revoked_at
from voucher_batch b
where b.id > $1
and ($3::text is null or b.product_id = $3)
order by b.id
limit $2;

-- name: show_voucher_batch
-- A batch, and what has become of its codes by $2: one that was used at a station counts as redeemed.
select b.id, b.product_id, b.product_version, b.provider_id, b.count, b.funded_by, b.note, b.redeem_until, b.created_by,
    b.created_at, b.revoked_at, c.redeemed, c.revoked, case when b.redeem_until <= $2 then c.left_over else 0 end as expired,
    c.released_minor, p.currency
from voucher_batch b
join voucher_product p on p.id = b.product_id and p.version = b.product_version
cross join lateral (
    select count(*) filter (where g.redeemed_at is not null or v.uses > 0) as redeemed,
        count(*) filter (where g.revoked_at is not null) as revoked,
        count(*) filter (where g.redeemed_at is null and g.revoked_at is null and v.uses = 0) as left_over,
        coalesce(sum(v.released_minor), 0)::bigint as released_minor
    from voucher_gift g
    join voucher v on v.id = g.voucher_id
    where g.batch_id = b.id) c
where b.id = $1;

-- name: lock_gift
-- The gift of a code's hash, with the days that its product is valid; whoever comes second waits.
select g.voucher_id, g.bearer, g.redeemed_at, coalesce(g.revoked_at, b.revoked_at) as revoked_at, b.redeem_until,
    p.valid_days, p.carry_over
from voucher_gift g
join voucher_batch b on b.id = g.batch_id
join voucher_product p on p.id = b.product_id and p.version = b.product_version
where g.key = $1
for update of g;

-- name: lock_bearer
-- Driver $1, if it is there still: nobody begins a session as this one now.
select id
from driver
where id = $1
and erased_at is null
for update;

-- name: lock_idle_bearers
-- The unredeemed gifts of batch $1, locked with their drivers: those that a session is just beginning on are passed over.
select g.voucher_id
from voucher_gift g
join driver d on d.id = g.bearer
where g.batch_id = $1
and g.redeemed_at is null
and g.revoked_at is null
order by g.voucher_id
for update of g, d skip locked;

-- name: gift_is_in_use
-- Whether a session of driver $1 is not over yet.
select exists (
    select from session
    where driver_id = $1
    and state not in ('completed', 'invalid'));

-- name: move_voucher
-- A gift becomes driver $2's, valid from $3 until $4, $5; no row comes back when it was used at all.
update voucher
set driver_id = $2, valid_from = $3, valid_until = $4, carry_until = $5, bought_at = $3, told_at = null,
    version = version + 1
where id = $1
and uses = 0
and used = 0
and state = 'active'
returning id;

-- name: end_bearers
-- Nobody is drivers $1 any more: their codes are no tokens, and what began on them meanwhile is decided again.
with ended as (
    update driver
    set status = 'blocked', erased_at = $2
    where id = any ($1::text[])
    returning id)
update token t
set status = 'blocked'
from ended e
where t.driver_id = e.id;

-- name: note_redeemed
-- A code has become the voucher of a driver.
update voucher_gift
set redeemed_at = $2
where voucher_id = $1;

-- name: lock_voucher_batch
-- A batch that codes are taken back of.
select id, revoked_at
from voucher_batch
where id = $1
for update;

-- name: note_batch_revoked
-- When the codes of a batch were first taken back.
update voucher_batch
set revoked_at = coalesce(revoked_at, $2)
where id = $1;

-- name: revoke_gifts
-- Takes back those of vouchers $1 that nobody uses or has used, at $2.
with dead as (
    update voucher v
    set state = 'expired', version = v.version + 1
    from voucher_gift g
    where v.id = any ($1::uuid[])
    and g.voucher_id = v.id
    and v.state = 'active'
    and v.uses = 0
    and not exists (
        select from session s
        where s.driver_id = g.bearer
        and s.state not in ('completed', 'invalid'))
    returning v.id, v.unit, v.total, g.bearer)
update voucher_gift g
set revoked_at = $2
from dead d
where g.voucher_id = d.id
returning d.id, d.unit, d.total, d.bearer;
