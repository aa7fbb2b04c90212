-- Vouchers that end: drivers told, what is left of them earned by a policy.

-- name: ending_vouchers
-- Vouchers with something left that end before $2 and whose drivers were not told, at most $3; told from now ($1) on. Of
-- those for a few days the second half must have begun. Rows that others work on are left for the next time.
update voucher v
set told_at = $1
from (
    select id
    from voucher
    where state = 'active'
    and told_at is null
    and valid_until > $1
    and valid_until <= $2
    and valid_until - (valid_until - valid_from) / 2 <= $1
    order by valid_until, id
    limit $3
    for update skip locked) k
where v.id = k.id
returning v.id, v.driver_id, v.provider_id, v.product_id, v.unit, v.total - v.used as left, v.valid_until, v.carry_until;

-- name: put_breakage_policy
-- The policy of a country, as people set it.
insert into breakage_policy (country, after_days, notice_days, basis, changed_by, changed_at)
values ($1, $2, $3, $4, $5, $6)
on conflict (country) do update
set after_days = excluded.after_days, notice_days = excluded.notice_days, basis = excluded.basis,
    changed_by = excluded.changed_by, changed_at = excluded.changed_at;

-- name: show_breakage_policy
-- The policy of a country.
select country, after_days, notice_days, basis, changed_by, changed_at
from breakage_policy
where country = $1;

-- name: list_breakage_policies
-- All policies.
select country, after_days, notice_days, basis, changed_by, changed_at
from breakage_policy
order by country;

-- name: lapsing_vouchers
-- Vouchers of country $1 that ended before $2 with something left, which their drivers were told to be lost by $3 (null:
-- they were not told yet), at most $4. Nobody has paid for gifts. What a use may yet take, whose bill is open, is not lost.
select v.id, v.version, v.driver_id, v.provider_id, v.product_id, v.unit, v.total, v.used, v.price_minor,
    v.released_minor, v.currency, v.vat_percent, v.overuse_price, v.valid_from, v.valid_until, v.carry_until, v.uses,
    v.uses_max, v.terms, v.funded_by, v.token_key
from voucher v
join voucher_product p on p.id = v.product_id and p.version = v.product_version
where p.country = $1
and v.funded_by is null
and v.state = 'active'
and v.used < v.total
and coalesce(v.carry_until, v.valid_until) <= $2
and case when $3::timestamptz is null then v.lapses_at is null else v.lapses_at <= $3 end
and not exists (
    select from session s
    where s.driver_id = v.driver_id
    and s.state in ('pending', 'active', 'incomplete', 'review', 'provisional')
    and ('vouchers' = any (s.flags) or s.use = 'rental' and s.state = 'review'))
order by v.valid_until, v.id
limit $4;

-- name: tell_of_lapse
-- Writes down that vouchers $1 are lost at $2; answers those that nobody else told of. Locked in one order, and none that
-- a use works on: that would wait for us.
update voucher v
set lapses_at = $2
from (
    select id
    from voucher
    where id = any ($1::uuid[])
    and lapses_at is null
    and state = 'active'
    order by id
    for update skip locked) k
where v.id = k.id
returning v.id;

-- name: lapse_voucher
-- A voucher that is lost as it was seen; no row comes back when a use or a refund was first.
update voucher
set state = 'expired', version = version + 1
where id = $1
and version = $2
and state = 'active'
returning id;
