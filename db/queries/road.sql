-- name: load_world
-- All rows a batch of reports is decided on, in one statement; each column is an array of rows, some twice (store/road.py).
-- $1 stations; $2, $3 stations and refs of sessions; $4, $5 stations and start keys; $6 token keys;
-- $7, $8 stations and token keys of live authorizations; $9 ids of authorizations; $10, $11 stations and numbers of
-- connectors whose latest sessions are wanted (-1: all of them); $12 for each of $1, when a use of it may start now.
with wanted_sessions as (
    select s.*
    from unnest($2::text[], $3::text[]) k (station_id, ref)
    cross join lateral (
        select * from session s where s.station_id = k.station_id and s.ref = k.ref limit 1) s
    union all
    select s.*
    from unnest($4::text[], $5::text[]) k (station_id, start_key)
    cross join lateral (
        select *
        from session s
        where s.station_id = k.station_id
        and s.start_key = k.start_key
        and s.start_key <> s.ref
        limit 1) s
    union all
    select s.*
    from unnest($9::uuid[]) k (id)
    cross join lateral (
        select * from session s where s.authorization_id = k.id and s.state in ('pending', 'incomplete')) s
    union all
    select s.*
    from unnest($10::text[], $11::integer[]) k (station_id, connector)
    cross join lateral (
        select *
        from session s
        where s.station_id = k.station_id
        and (s.connector = k.connector or k.connector < 0)
        order by s.opened_at desc
        limit case when k.connector < 0 then 16 else 3 end) s),
wanted_tokens as (
    select t.*, coalesce(t.driver_id, i.driver_id) as person_id
    from unnest($6::bytea[]) k (key)
    cross join lateral (select * from token t where t.key = k.key limit 1) t
    left join lateral (
        select * from driver_identity i where i.issuer = t.issuer and i.subject = t.subject limit 1) i on true),
wanted_authorizations as (
    select a.*
    from unnest($7::text[], $8::bytea[]) k (station_id, token_key)
    cross join lateral (
        select *
        from psp_authorization a
        where a.station_id = k.station_id
        and a.token_key = k.token_key
        and a.state in ('asking', 'authorized')
        limit 1) a
    union all
    select a.*
    from unnest($9::uuid[] || array(
        select s.authorization_id from wanted_sessions s where s.authorization_id is not null and s.closed_at is null
    )) k (id)
    cross join lateral (select * from psp_authorization a where a.id = k.id limit 1) a),
-- What ended so long before is nothing for any use of this batch: one that begins may be told 45 days late, one that is
-- not over, or is judged again, began when it says.
voucher_since as (
    select least(
        (select min(k.at) - interval '46 days' from unnest($12::timestamptz[]) k (at)),
        (select min(coalesce(s.started_at, s.opened_at))
         from wanted_sessions s
         where s.closed_at is null
         or s.state = 'review'
         or 'vouchers' = any (s.flags))) as at)
select
    array(
        select row(
            s.id, s.kind, s.provider_id, s.site_id, p.terms_version, t.id, t.version, t.currency, t.hold_minor,
            array(select row(c.number, c.max_power_w) from connector c
                  where c.station_id = s.id and c.max_power_w is not null),
            z.time_zone, s.portable, z.tags)
        from unnest(
            $1::text[] || array(select station_id from wanted_sessions), $12::timestamptz[]) k (id, at)
        cross join lateral (select * from station s where s.id = k.id limit 1) s
        cross join lateral (select * from provider p where p.id = s.provider_id limit 1) p
        left join lateral (select time_zone, tags from site where site.id = s.site_id limit 1) z on true
        left join lateral (
            select *
            from tariff t
            where t.id = s.tariff_id
            and (t.valid_from is null or t.valid_from <= k.at)
            and (t.valid_until is null or t.valid_until > k.at)
            order by t.version desc
            limit 1) t on true
    ) as stations,
    array(
        select row(
            s.station_id, s.id, s.ref, s.start_key, s.version, s.state, s.day, s.connector, s.max_power_w,
            s.provider_id, s.site_id, s.terms_version, s.tariff_id, s.tariff_version, s.currency, s.token_key,
            s.token_masked, s.driver_id, s.means, s.psp, s.authorization_id, s.hold_minor, s.offline, s.started_at,
            s.ended_at, s.meter_start_wh, s.meter_end_wh, s.energy_wh, s.fee_minor, s.end_reason, s.reason, s.flags,
            s.opened_at, s.closed_at, s.rest, s.time_zone, s.revision, s.policy, s.use, s.host_bp,
            s.drawn_minor, s.site_tags, s.stands_for)
        from wanted_sessions s
    ) as sessions,
    array(
        select row(s.id, r.lowest_wh, r.highest_wh, r.power_sum_w, r.power_count)
        from wanted_sessions s
        cross join lateral (
            select min(register_wh) as lowest_wh, max(register_wh) as highest_wh,
                coalesce(sum(power_w), 0) as power_sum_w, count(power_w) as power_count
            from reading r
            where r.day = s.day
            and r.session_id = s.id) r
        where s.closed_at is null
    ) as progress,
    array(
        select row(
            t.key, t.status, t.person_id, d.status, t.psp, t.issuer, t.subject, t.station_id, t.single_use,
            t.session_id, coalesce(u.state in ('pending', 'active', 'incomplete'), false), t.expires_at,
            coalesce(d.rest, 'keep'), coalesce(t.alias_of, t.key),
            array(select row(b.period, b.currency, b.limit_minor, b.time_zone) from token_budget b
                  where b.token_key = coalesce(t.alias_of, t.key)),
            array(select row(b.period, b.currency, u.period_began, u.used_minor)
                  from token_budget b
                  cross join lateral (
                      select *
                      from token_spending u
                      where u.token_key = b.token_key
                      and u.period = b.period
                      and u.currency = b.currency
                      order by u.period_began desc
                      limit 24) u
                  where b.token_key = coalesce(t.alias_of, t.key)))
        from wanted_tokens t
        left join lateral (select state from session s where s.id = t.session_id limit 1) u on true
        left join lateral (select * from driver d where d.id = t.person_id limit 1) d on true
    ) as tokens,
    array(
        select row(
            v.id, v.version, v.driver_id, v.provider_id, v.product_id, v.unit, v.total, v.used, v.price_minor,
            v.released_minor, v.currency, v.vat_percent, v.overuse_price, v.valid_from, v.valid_until, v.carry_until,
            v.uses, v.uses_max, v.terms, v.funded_by, v.token_key)
        from (
            select person_id as driver_id from wanted_tokens where person_id is not null
            union
            select driver_id from wanted_sessions where driver_id is not null and 'vouchers' = any (flags)) d
        cross join lateral (
            select *
            from (
                select *
                from voucher
                where driver_id = d.driver_id
                and state = 'active'
                and coalesce(carry_until, valid_until) > coalesce((select at from voucher_since), '-infinity')
                order by valid_from desc, id desc
                limit 2000) o
            order by ((used < total or overuse_price is not null) and (uses_max is null or uses < uses_max)) desc,
                valid_from desc, id desc
            limit 200) v
    ) as vouchers,
    array(
        select row(t.person_id, g.asset, g.balance)
        from (select distinct person_id from wanted_tokens where psp is null) t
        cross join lateral (
            select * from guarded_account g where g.address = 'driver:' || t.person_id || ':balance') g
    ) as balances,
    array(
        select row(t.person_id, d.asset, d.minor)
        from (select distinct person_id from wanted_tokens where person_id is not null) t
        cross join lateral (select asset, minor from debts_of(t.person_id)) d
    ) as debts,
    array(
        select row(
            a.id, a.station_id, a.token_key, a.psp, a.policy, a.issuer, a.subject, a.driver_id, a.amount_minor,
            a.currency, a.state, a.psp_ref, a.reason, a.session_id, a.asked_at, a.decided_at, a.version)
        from wanted_authorizations a
    ) as authorizations,
    array(
        select row(i.issuer, i.subject, i.driver_id)
        from (
            select issuer, subject from wanted_authorizations
            union
            select issuer, subject from wanted_tokens where issuer is not null) w
        cross join lateral (
            select * from driver_identity i where i.issuer = w.issuer and i.subject = w.subject limit 1) i
    ) as identities;

-- name: load_books
-- All readings of the sessions $1 (stations) and $2 (refs), by time, the boots of their stations meanwhile, and what
-- is written of their money.
select s.id, s.driver_id, s.currency,
    array(
        select row(r.at, r.digest, r.register_wh, r.power_w)
        from reading r
        where r.day = s.day
        and r.session_id = s.id
        order by r.at, r.digest) as series,
    array(
        select b.at
        from station_boot b
        where b.station_id = s.station_id
        and b.at >= least(s.started_at, s.opened_at)) as boots,
    array(
        select row(
            b.id, b.revision, b.kind, b.energy_wh, b.seconds, b.total_minor, b.vat_minor, b.not_charged_minor,
            b.operator_minor, b.operator_vat_minor, b.provider_minor, b.host_minor, b.shares_by)
        from bill b
        where b.session_id = s.id
        order by b.revision) as issued,
    array(
        select row(p.id, p.psp, p.amount_minor - p.refunded_minor)
        from payment p
        where p.session_id = s.id
        order by p.at desc, p.id) as payments,
    (select o.state from outbox o where o.key = 'session/' || s.id || '/collect') as collection,
    case when s.revision > 0 and s.psp is not null then (
        select coalesce(sum(case when t.debit = r.address then t.amount else -t.amount end), 0)::bigint
        from (values ('psp:' || s.psp || ':receivable')) r (address)
        join posting p on p.ref = s.id::text
        join transfer t on t.posting_id = p.id and r.address in (t.debit, t.credit)) else 0 end as receivable,
    array(
        select row(
            v.id, v.unit, sum(u.units)::bigint, sum(u.minor)::bigint, v.currency, v.vat_percent,
            sum(u.value_minor)::bigint, v.funded_by)
        from voucher_use u
        join voucher v on v.id = u.voucher_id
        where u.session_id = s.id
        group by v.id
        having sum(u.units) > 0
        order by v.id) as taken,
    array(
        select row(
            v.id, v.version, v.driver_id, v.provider_id, v.product_id, v.unit, v.total, v.used, v.price_minor,
            v.released_minor, v.currency, v.vat_percent, v.overuse_price, v.valid_from, v.valid_until, v.carry_until,
            v.uses, v.uses_max, v.terms, v.funded_by, v.token_key)
        from (select distinct voucher_id from voucher_use where session_id = s.id) u
        join voucher v on v.id = u.voucher_id
        where v.state = 'active') as vouchers,
    coalesce((select g.balance from guarded_account g
              where g.address = 'driver:' || s.driver_id || ':balance' and g.asset = s.currency), 0) as balance,
    coalesce((select minor from debts_of(s.driver_id) d where d.asset = s.currency), 0) as debt
from unnest($1::text[], $2::text[]) k (station_id, ref)
cross join lateral (
    select * from session s where s.station_id = k.station_id and s.ref = k.ref limit 1) s;

-- name: find_tariff
-- The document of one version of a tariff, as JSON text.
select document::text
from tariff
where id = $1
and version = $2;

-- name: find_split
-- How one version of a provider's terms divides a fee.
select operator_bp, operator_fixed_minor, operator_min_minor, operator_max_minor, shares_by
from provider_terms
where provider_id = $1
and version = $2;

-- name: save_world
-- Everything a batch changes, in one call; raises CS001 when it was decided on older rows than the stored ones.
select save($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20, $21, $22, $23,
    $24);

-- name: save_readings
-- A batch of nothing but readings.
select save_readings($1, $2, $3, $4, $5, $6);

-- name: ensure_readings
-- Makes the partition of a day's readings.
select ensure_readings($1);
