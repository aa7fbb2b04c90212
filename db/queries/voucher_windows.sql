-- Vouchers for windows at certain sites, and the power that these have.

-- name: sold_windows
-- Products whose vouchers, valid at $2, name one of the sites $1, a station or a tag of it; how many of each. Only of energy.
-- Gifts count from when they are somebody's.
select k.site_id, p.id, p.version, p.unit, p.amount, p.valid_days, p.effect::text as effect,
    p.conditions::text as conditions, count(*) as sold
from unnest($1::text[]) k (site_id)
join voucher_product p on p.unit = 'wh'
    and (p.conditions -> 'sites' ? k.site_id
        or exists (select from station s where s.site_id = k.site_id and p.conditions -> 'stations' ? s.id)
        or exists (select from site z where z.id = k.site_id and p.conditions -> 'tags' ?| z.tags))
join voucher v on v.product_id = p.id
    and v.product_version = p.version
    and v.state = 'active'
    and v.used < v.total
    and v.valid_until > $2
    and (v.funded_by is null or not exists (
        select from voucher_gift g where g.voucher_id = v.id and g.redeemed_at is null))
group by k.site_id, p.id, p.version;

-- name: limited_sites
-- Those of the sites $1, of the sites of the stations $2, and of the sites with one of the tags $3, whose power is limited.
select id, power_cap_w
from site
where (
    id = any ($1::text[])
    or id in (select site_id from station where station.id = any ($2::text[]))
    or tags && $3::text[])
and power_cap_w is not null
order by id;

-- name: lock_windows
-- Lets one sale at a time look at the windows of sites $1.
select pg_advisory_xact_lock(hashtext('voucher window'), hashtext(k.id))
from (select id from unnest($1::text[]) k (id) order by id) k;
