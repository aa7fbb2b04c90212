-- Bills that are taken back and made anew, money that goes back, uses that ended for want of news, budgets of tokens.

-- Sessions and bills -------------------------------------------------------------------------------------------------

alter table session
    add column rest text check (rest in ('keep', 'refund')),
    add column time_zone text,
    add column revision smallint not null default 0 check (revision >= 0),
    add column policy text check (policy in ('hold_capture', 'charge_after', 'pay_before_refund_rest')),
    drop constraint session_state_check,
    add constraint session_state_check check (state in
        ('pending', 'active', 'incomplete', 'provisional', 'completed', 'review', 'invalid'));
comment on column session.rest is 'what happens to money that was set aside and not spent; fixed once it is settled';
comment on column session.time_zone is 'the zone of its site, by which its tariff tells hours and weekdays; null is UTC';
comment on column session.revision is 'how many bills it has, credits included';
comment on column session.policy is 'how its psp takes the money; null where the balance pays';
-- Sessions of one station, newest first: what was metered at a connector without naming its session.
create index session_at_station on session (station_id, opened_at);

alter table driver add column rest text not null default 'keep' check (rest in ('keep', 'refund'));
alter table provider_terms add column shares_by text not null default 'psp' check (shares_by in ('psp', 'run'));
comment on column provider_terms.shares_by is 'who pays the shares of a bill that a psp collects: the psp at once, or the statement run';

-- A credit takes money of a charge back: its amounts are negative, so that sums over bills are always right.
alter table bill
    add column kind text not null default 'charge' check (kind in ('charge', 'credit')),
    add column corrects uuid,
    add column reason text,
    add column made_by text,
    add column periods jsonb,
    add column shares_by text not null default 'run' check (shares_by in ('psp', 'run')),
    add column xid xid8 not null default pg_current_xact_id(),
    drop constraint bill_energy_wh_check,
    drop constraint bill_seconds_check,
    drop constraint bill_total_minor_check,
    drop constraint bill_check,
    drop constraint bill_not_charged_minor_check,
    drop constraint bill_operator_minor_check,
    drop constraint bill_operator_vat_minor_check,
    drop constraint bill_provider_minor_check,
    add constraint bill_credit_names_its_charge check ((kind = 'credit') = (corrects is not null)),
    add constraint bill_amounts check (
        kind = 'charge'
        and least(energy_wh, seconds, total_minor, vat_minor, not_charged_minor, operator_minor, operator_vat_minor,
            provider_minor) >= 0
        and vat_minor <= total_minor
        or kind = 'credit'
        and greatest(energy_wh, seconds, total_minor, vat_minor, not_charged_minor, operator_minor,
            operator_vat_minor, provider_minor) <= 0
        and vat_minor >= total_minor);
comment on column bill.corrects is 'a credit: the charge that it takes back or lessens';
comment on column bill.shares_by is 'who pays its shares: its psp when it is settled there, or the statement run';
comment on column bill.xid is 'a reader that stops below a horizon of transactions sees the same bills every time';

alter table psp_authorization
    drop constraint psp_authorization_policy_check,
    add constraint psp_authorization_policy_check check (policy in
        ('hold_capture', 'charge_after', 'pay_before_refund_rest'));

-- Money that came in, and goes back ----------------------------------------------------------------------------------

create table payment (
    id uuid primary key,
    psp text not null,
    psp_ref text not null,
    driver_id text not null,
    kind text not null check (kind in ('top_up', 'session')),
    session_id uuid,
    amount_minor bigint not null check (amount_minor > 0),
    refunded_minor bigint not null default 0 check (refunded_minor between 0 and amount_minor),
    currency text not null,
    at timestamptz not null,
    unique (psp, psp_ref),
    check ((kind = 'session') = (session_id is not null))
);
comment on table payment is 'money that a psp took from a driver; no more than it can go back';
comment on column payment.refunded_minor is 'sent back, or on its way';
create index payment_driver on payment (driver_id, at desc);
create index payment_session on payment (session_id) where session_id is not null;

create table refund (
    id uuid primary key,
    payment_id uuid not null references payment,
    driver_id text not null,
    session_id uuid,
    bill_id uuid,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    psp text not null,
    reason text not null,
    state text not null default 'pending' check (state in ('pending', 'paid', 'failed')),
    psp_ref text,
    requested_by text,
    asked_at timestamptz not null,
    ended_at timestamptz
) with (fillfactor = 80);
comment on column refund.bill_id is 'the credit that it pays out; null where a balance is paid out';
create index refund_driver on refund (driver_id, asked_at);
create index refund_payment on refund (payment_id);
create index refund_pending on refund (asked_at) where state = 'pending';

-- Puts `amount` of a payment on its way back, once per id: the refund, and the job that tells the psp. Answers whether
-- this was news; raises CS002 when the payment has less left. The caller posts what pays for it.
create function begin_refund(
    refund_id uuid, of_payment uuid, amount bigint, for_session uuid, for_bill uuid, why text, who text, now_at timestamptz)
returns boolean language plpgsql as $$
declare
    paid payment;
begin
    select * into paid from payment where id = of_payment for update;
    if not found then
        raise exception 'there is no payment %', of_payment using errcode = 'CS002';
    end if;
    if exists (select from refund where id = refund_id) then
        return false;
    end if;
    if paid.refunded_minor + amount > paid.amount_minor then
        raise exception 'payment % has % left', of_payment, paid.amount_minor - paid.refunded_minor using errcode = 'CS002';
    end if;
    update payment set refunded_minor = refunded_minor + amount where id = of_payment;
    insert into refund (
        id, payment_id, driver_id, session_id, bill_id, amount_minor, currency, psp, reason, requested_by, asked_at)
    values (refund_id, of_payment, paid.driver_id, for_session, for_bill, amount, paid.currency, paid.psp, why, who, now_at);
    insert into outbox (id, kind, key, subject, payload)
    values (refund_id, 'psp.refund', 'refund/' || refund_id, 'refund/' || refund_id,
        jsonb_build_object('refund', refund_id));
    return true;
end $$;

-- Budgets: several tokens on one balance, each with its limits ---------------------------------------------------------

create table token_budget (
    token_key bytea not null references token,
    period text not null check (period in ('session', 'day', 'week', 'month')),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    limit_minor bigint not null check (limit_minor >= 0),
    time_zone text not null,
    primary key (token_key, period, currency)
);
comment on table token_budget is 'what a token may spend of its driver''s balance: in one session, or in each period of a zone';

create table token_spending (
    token_key bytea not null,
    period text not null,
    currency text not null,
    period_began date not null,
    used_minor bigint not null,
    primary key (token_key, period, currency, period_began)
) with (fillfactor = 70);
comment on column token_spending.used_minor is 'what was set aside, set right when the session is settled';


-- What a driver owes, by asset; an account without a row of its own, so this is the sum of its entries.
create function debts_of(driver_id text) returns table (asset text, minor bigint) stable language sql
set enable_seqscan = off as $$
    select e.asset, sum(e.amount)::bigint
    from (
        select t.asset, t.amount from transfer t where t.debit = 'driver:' || driver_id || ':debt'
        union all
        select t.asset, -t.amount from transfer t where t.credit = 'driver:' || driver_id || ':debt') e
    group by e.asset
    having sum(e.amount) > 0
$$;

create or replace function guarded(address text) returns boolean immutable parallel safe language sql as $$
    select address like 'session:%:held'
        or address like 'driver:%:balance'
        or address like 'authorization:%:held'
        or address like 'rental:%:held'
        or address like 'deposit:%'
        or address like 'voucher:%'
$$;

-- The road's write, with all this --------------------------------------------------------------------------------------

alter type session_in
    add attribute rest text, add attribute time_zone text, add attribute revision smallint, add attribute policy text;
alter type bill_in
    add attribute revision smallint, add attribute kind text, add attribute corrects uuid, add attribute reason text,
    add attribute made_by text, add attribute periods jsonb, add attribute shares_by text;
-- One payment on its way back, see begin_refund().
create type refund_in as (
    id uuid, payment_id uuid, amount_minor bigint, session_id uuid, bill_id uuid, reason text, requested_by text,
    asked_at timestamptz);
create type resolved_in as (kind text, ref text, resolution text, resolved_at timestamptz);
create type budget_in as (token_key bytea, period text, currency text, period_began date, delta_minor bigint);

-- The rows of sessions: apart from `save`, because both lists of columns are long.
create function save_sessions(opened session_in[], moved session_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
begin
    if cardinality(opened) > 0 then
        insert into session (
            station_id, id, ref, start_key, version, state, day, connector, max_power_w, provider_id, site_id,
            terms_version, tariff_id, tariff_version, currency, token_key, token_masked, driver_id, means, psp,
            authorization_id, hold_minor, offline, started_at, ended_at, meter_start_wh, meter_end_wh, energy_wh,
            fee_minor, end_reason, reason, flags, opened_at, closed_at, rest, time_zone, revision, policy)
        select * from unnest(opened)
        on conflict do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(opened) then perform lost_race('session opened'); end if;
    end if;

    if cardinality(moved) > 0 then
        -- in the order of the array, which the caller sorts by id
        update session s
        set version = m.version, state = m.state, connector = m.connector, max_power_w = m.max_power_w,
            terms_version = m.terms_version, tariff_id = m.tariff_id, tariff_version = m.tariff_version,
            currency = m.currency, token_key = m.token_key, token_masked = m.token_masked, driver_id = m.driver_id,
            means = m.means, psp = m.psp, authorization_id = m.authorization_id, hold_minor = m.hold_minor,
            offline = m.offline, started_at = m.started_at, ended_at = m.ended_at,
            meter_start_wh = m.meter_start_wh, meter_end_wh = m.meter_end_wh, energy_wh = m.energy_wh,
            fee_minor = m.fee_minor, end_reason = m.end_reason, reason = m.reason, flags = m.flags,
            closed_at = m.closed_at, rest = m.rest, time_zone = m.time_zone, revision = m.revision, policy = m.policy
        from unnest(moved) m
        where s.station_id = m.station_id
        and s.id = m.id
        and s.version = m.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(moved) then perform lost_race('session version'); end if;
    end if;
end $$;

-- What corrections write: refunds on their way, exceptions that people resolved, budgets. Raises CS001 when a payment
-- has less left than was thought, or a budget would be overspent.
create function save_corrections(refunds refund_in[], resolved resolved_in[], budgets budget_in[])
returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
begin
    if cardinality(refunds) > 0 then
        begin
            perform begin_refund(
                r.id, r.payment_id, r.amount_minor, r.session_id, r.bill_id, r.reason, r.requested_by, r.asked_at)
            from (select * from unnest(refunds) order by payment_id, id) r;
        exception when sqlstate 'CS002' then
            perform lost_race('payment left');
        end;
    end if;

    if cardinality(resolved) > 0 then
        update exception e
        set resolved_at = r.resolved_at, resolution = r.resolution
        from unnest(resolved) r
        where e.kind = r.kind
        and e.ref = r.ref
        and e.resolved_at is null;
    end if;

    if cardinality(budgets) > 0 then
        insert into token_spending (token_key, period, currency, period_began, used_minor)
        select b.token_key, b.period, b.currency, b.period_began, sum(b.delta_minor)
        from unnest(budgets) b
        group by b.token_key, b.period, b.currency, b.period_began
        order by b.token_key, b.period, b.currency, b.period_began
        on conflict (token_key, period, currency, period_began) do update
        set used_minor = token_spending.used_minor + excluded.used_minor;
        if exists (
            select
            from unnest(budgets) b
            join token_spending u
                on u.token_key = b.token_key
                and u.period = b.period
                and u.currency = b.currency
                and u.period_began = b.period_began
            join token_budget t on t.token_key = b.token_key and t.period = b.period and t.currency = b.currency
            where b.delta_minor > 0
            and u.used_minor > t.limit_minor)
        then
            perform lost_race('budget');
        end if;
    end if;
end $$;

drop function save(
    session_in[], session_in[], authorization_in[], authorization_in[], token_in[], spent_in[], driver_in[], bill_in[],
    outbox_in[], exception_in[], parked_in[], boot_in[], status_in[], posting_in[], transfer_in[],
    date[], uuid[], timestamptz[], integer[], bigint[], integer[]);

create function save(
    opened session_in[], moved session_in[],
    asked authorization_in[], decided authorization_in[],
    issued token_in[], spent spent_in[], drivers driver_in[],
    bills bill_in[], outboxed outbox_in[], exceptions exception_in[], parked parked_in[],
    boots boot_in[], statuses status_in[],
    refunds refund_in[], resolved resolved_in[], budgets budget_in[],
    postings posting_in[], transfers transfer_in[],
    days date[], sessions uuid[], ats timestamptz[], digests integer[], registers bigint[], powers integer[])
returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
    refused text;
begin
    if cardinality(drivers) > 0 then
        insert into driver (id, created_at) select d.id, d.created_at from unnest(drivers) d
        on conflict (id) do nothing;
        insert into driver_identity (issuer, subject, driver_id) select d.issuer, d.subject, d.id from unnest(drivers) d
        on conflict (issuer, subject) do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(drivers) then perform lost_race('driver'); end if;
    end if;

    perform save_sessions(opened, moved);

    if cardinality(decided) > 0 then
        update psp_authorization a
        set state = d.state, driver_id = d.driver_id, psp_ref = d.psp_ref, reason = d.reason,
            session_id = d.session_id, decided_at = d.decided_at, version = d.version
        from unnest(decided) d
        where a.id = d.id
        and a.version = d.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(decided) then perform lost_race('authorization version'); end if;
    end if;

    if cardinality(asked) > 0 then
        insert into psp_authorization (
            id, station_id, token_key, psp, policy, issuer, subject, driver_id, amount_minor, currency, state,
            psp_ref, reason, session_id, asked_at, decided_at, version)
        select * from unnest(asked)
        on conflict do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(asked) then perform lost_race('authorization asked'); end if;
    end if;

    if cardinality(issued) > 0 then
        insert into token (key, type, psp, issuer, subject, station_id, single_use, expires_at, created_at)
        select i.key, i.type, i.psp, i.issuer, i.subject, i.station_id, i.single_use, i.expires_at, i.created_at
        from unnest(issued) i
        on conflict (key) do nothing;
    end if;

    if cardinality(spent) > 0 then
        update token t
        set session_id = s.session_id
        from unnest(spent) s
        where t.key = s.key
        and t.single_use
        and t.session_id is null;
        get diagnostics written = row_count;
        if written <> cardinality(spent) then perform lost_race('token spent'); end if;
    end if;

    if cardinality(days) > 0 then
        perform save_readings(days, sessions, ats, digests, registers, powers);
    end if;

    if cardinality(bills) > 0 then
        insert into bill (
            id, session_id, station_id, connector, provider_id, site_id, driver_id, token_masked, tariff_id,
            tariff_version, terms_version, means, psp, currency, started_at, ended_at, energy_wh, seconds,
            total_minor, vat_minor, not_charged_minor, operator_minor, operator_vat_minor, provider_minor, lines,
            flags, issued_at, revision, kind, corrects, reason, made_by, periods, shares_by)
        select * from unnest(bills)
        on conflict (session_id, revision) do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(bills) then perform lost_race('bill'); end if;
    end if;

    if cardinality(outboxed) > 0 then
        insert into outbox (id, kind, key, subject, payload)
        select * from unnest(outboxed)
        on conflict (key) do nothing;
    end if;

    if cardinality(exceptions) > 0 then
        insert into exception (id, kind, ref, station_id, details, opened_at)
        select * from unnest(exceptions)
        on conflict (kind, ref) do nothing;
    end if;

    if cardinality(parked) > 0 then
        insert into parked_report (id, station_id, action, reason, raw, answer, received_at)
        select * from unnest(parked)
        on conflict (id) do nothing;
    end if;

    if cardinality(boots) > 0 then
        update station s
        set vendor = b.vendor, model = b.model, serial = b.serial, firmware = b.firmware, booted_at = b.booted_at
        from unnest(boots) b
        where s.id = b.station_id;
    end if;

    if cardinality(statuses) > 0 then
        insert into connector (station_id, number, kind, status, error_code, status_at)
        select t.station_id, t.number,
            case
                when t.number = 0 then 'station'
                when s.kind = 'locker' then 'door'
                when s.kind = 'battery_station' then 'slot'
                else 'outlet'
            end,
            t.status, t.error_code, t.status_at
        from unnest(statuses) t
        join station s on s.id = t.station_id
        on conflict (station_id, number) do update
        set status = excluded.status, error_code = excluded.error_code, status_at = excluded.status_at
        where connector.status_at is null
        or excluded.status_at >= connector.status_at;
    end if;

    if cardinality(refunds) + cardinality(resolved) + cardinality(budgets) > 0 then
        perform save_corrections(refunds, resolved, budgets);
    end if;

    -- Guarded accounts are locked last.
    if cardinality(postings) > 0 then
        select a into refused from unnest(post(postings, transfers)) a where a not in ('posted', 'replayed') limit 1;
        if refused is not null then perform lost_race('posting ' || refused); end if;
    end if;
end $$;
