-- The road's one write: everything a batch of reports changes, in one call, which is one transaction.

create type session_in as (
    station_id text, id uuid, ref text, start_key text, version integer, state text, day date, connector integer,
    max_power_w integer, provider_id text, site_id text, terms_version integer, tariff_id text, tariff_version integer,
    currency text, token_key bytea, token_masked text, driver_id text, means text, psp text, authorization_id uuid,
    hold_minor bigint, offline boolean, started_at timestamptz, ended_at timestamptz, meter_start_wh bigint,
    meter_end_wh bigint, energy_wh bigint, fee_minor bigint, end_reason text, reason text, flags text[],
    opened_at timestamptz, closed_at timestamptz);

create type authorization_in as (
    id uuid, station_id text, token_key bytea, psp text, policy text, issuer text, subject text, driver_id text,
    amount_minor bigint, currency text, state text, psp_ref text, reason text, session_id uuid, asked_at timestamptz,
    decided_at timestamptz, version integer);

create type token_in as (
    key bytea, type text, psp text, issuer text, subject text, station_id text, single_use boolean,
    expires_at timestamptz, created_at timestamptz);
create type spent_in as (key bytea, session_id uuid);
create type driver_in as (id text, issuer text, subject text, created_at timestamptz);

create type bill_in as (
    id uuid, session_id uuid, station_id text, connector integer, provider_id text, site_id text, driver_id text,
    token_masked text, tariff_id text, tariff_version integer, terms_version integer, means text, psp text,
    currency text, started_at timestamptz, ended_at timestamptz, energy_wh bigint, seconds bigint, total_minor bigint,
    vat_minor bigint, not_charged_minor bigint, operator_minor bigint, operator_vat_minor bigint,
    provider_minor bigint, lines jsonb, flags text[], issued_at timestamptz);

create type outbox_in as (id uuid, kind text, key text, subject text, payload jsonb);
create type exception_in as (id uuid, kind text, ref text, station_id text, details jsonb, opened_at timestamptz);
create type parked_in as (
    id uuid, station_id text, action text, reason text, raw text, answer text, received_at timestamptz);
create type boot_in as (
    station_id text, vendor text, model text, serial text, firmware text, booted_at timestamptz);
create type status_in as (
    station_id text, number integer, status text, error_code text, status_at timestamptz);

-- Raises CS001 when a writer saw older rows than it thought. The caller loads again and decides again.
create function lost_race(what text) returns void language plpgsql as $$
begin
    raise exception 'lost race: %', what using errcode = 'CS001';
end $$;

create function save_readings(
    days date[], sessions uuid[], ats timestamptz[], digests integer[], registers bigint[], powers integer[])
returns void language sql as $$
    insert into reading (day, session_id, at, digest, register_wh, power_w)
    select * from unnest(days, sessions, ats, digests, registers, powers)
    on conflict (day, session_id, at, digest) do nothing
$$;

create function save(
    opened session_in[], moved session_in[],
    asked authorization_in[], decided authorization_in[],
    issued token_in[], spent spent_in[], drivers driver_in[],
    bills bill_in[], outboxed outbox_in[], exceptions exception_in[], parked parked_in[],
    boots boot_in[], statuses status_in[],
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

    if cardinality(opened) > 0 then
        insert into session (
            station_id, id, ref, start_key, version, state, day, connector, max_power_w, provider_id, site_id,
            terms_version, tariff_id, tariff_version, currency, token_key, token_masked, driver_id, means, psp,
            authorization_id, hold_minor, offline, started_at, ended_at, meter_start_wh, meter_end_wh, energy_wh,
            fee_minor, end_reason, reason, flags, opened_at, closed_at)
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
            closed_at = m.closed_at
        from unnest(moved) m
        where s.station_id = m.station_id
        and s.id = m.id
        and s.version = m.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(moved) then perform lost_race('session version'); end if;
    end if;

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
            flags, issued_at)
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

    -- Guarded accounts are locked last.
    if cardinality(postings) > 0 then
        select a into refused from unnest(post(postings, transfers)) a where a not in ('posted', 'replayed') limit 1;
        if refused is not null then perform lost_race('posting ' || refused); end if;
    end if;
end $$;
