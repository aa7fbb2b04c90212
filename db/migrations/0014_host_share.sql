-- The host of a site gets a share of what is charged with its electricity: a third payee beside the operator and the
-- provider (docs/decisions/0015). What was billed before has no such share.

alter table site
    add column host_bp smallint not null default 0 check (host_bp between 0 and 10000),
    add column host_name text check (length(host_name) between 1 and 200);
comment on column site.host_bp is 'share of its host, in basis points of the fee, of sessions that start from now on';
comment on column site.host_name is 'who is reimbursed for the electricity';

alter table bill
    add column host_minor bigint not null default 0,
    drop constraint bill_check1,
    add constraint bill_shares check (operator_minor + provider_minor + host_minor = total_minor),
    drop constraint bill_amounts,
    add constraint bill_amounts check (
        kind = 'charge'
        and least(energy_wh, seconds, total_minor, vat_minor, not_charged_minor, operator_minor, operator_vat_minor,
            provider_minor, host_minor) >= 0
        and vat_minor <= total_minor
        or kind = 'credit'
        and greatest(energy_wh, seconds, total_minor, vat_minor, not_charged_minor, operator_minor,
            operator_vat_minor, provider_minor, host_minor) <= 0
        and vat_minor >= total_minor),
    add constraint bill_host_has_site check (host_minor = 0 or site_id is not null);
comment on column bill.host_minor is 'of the host of its site; owed by the operator, who gets it where a psp pays the shares';

alter table bill_day add column host_minor bigint not null default 0;
alter table bill_span add column host_minor bigint not null default 0;

alter table statement_sum
    add column host_minor bigint not null default 0,
    drop constraint statement_sum_check,
    add constraint statement_sum_shares check (operator_minor + provider_minor + host_minor = fees_minor);

-- As in 0010, and the host's share.
create or replace function sum_bills(rows_max integer) returns boolean language plpgsql as $$
declare
    mark sum_mark;
    bound sum_mark;
begin
    select * into strict mark from sum_mark where name = 'bill' for update;
    bound := next_mark(mark, rows_max);
    if not exists (
        select from bill b
        where (b.era, b.xid) >= (mark.era, mark.xid) and (b.era, b.xid) < (bound.era, bound.xid)) then
        return false;
    end if;

    insert into bill_day as s (
        day, provider_id, station_id, connector, tariff_id, currency, bills, energy_wh, seconds, total_minor, vat_minor,
        not_charged_minor, operator_minor, operator_vat_minor, provider_minor, host_minor, top_era, top_xid)
    select utc_day(b.issued_at), b.provider_id, b.station_id, b.connector, b.tariff_id, b.currency, count(*),
        sum(b.energy_wh), sum(b.seconds), sum(b.total_minor), sum(b.vat_minor), sum(b.not_charged_minor),
        sum(b.operator_minor), sum(b.operator_vat_minor), sum(b.provider_minor), sum(b.host_minor), max(b.era), max(b.xid)
    from bill b
    where (b.era, b.xid) >= (mark.era, mark.xid)
    and (b.era, b.xid) < (bound.era, bound.xid)
    group by 1, 2, 3, 4, 5, 6
    on conflict (day, provider_id, station_id, connector, tariff_id, currency) do update
    set bills = s.bills + excluded.bills, energy_wh = s.energy_wh + excluded.energy_wh,
        seconds = s.seconds + excluded.seconds, total_minor = s.total_minor + excluded.total_minor,
        vat_minor = s.vat_minor + excluded.vat_minor,
        not_charged_minor = s.not_charged_minor + excluded.not_charged_minor,
        operator_minor = s.operator_minor + excluded.operator_minor,
        operator_vat_minor = s.operator_vat_minor + excluded.operator_vat_minor,
        provider_minor = s.provider_minor + excluded.provider_minor,
        host_minor = s.host_minor + excluded.host_minor,
        top_era = excluded.top_era, top_xid = excluded.top_xid;

    insert into bill_span as s (
        unit, began, provider_id, currency, bills, energy_wh, seconds, total_minor, vat_minor, not_charged_minor,
        operator_minor, operator_vat_minor, provider_minor, host_minor, top_era, top_xid)
    select u.unit, unit_of(u.unit, b.issued_at), b.provider_id, b.currency, count(*), sum(b.energy_wh), sum(b.seconds),
        sum(b.total_minor), sum(b.vat_minor), sum(b.not_charged_minor), sum(b.operator_minor),
        sum(b.operator_vat_minor), sum(b.provider_minor), sum(b.host_minor), max(b.era), max(b.xid)
    from bill b
    cross join (values (interval '1 day'), (interval '15 minutes')) u (unit)
    where (b.era, b.xid) >= (mark.era, mark.xid)
    and (b.era, b.xid) < (bound.era, bound.xid)
    group by 1, 2, 3, 4
    on conflict (unit, began, provider_id, currency) do update
    set bills = s.bills + excluded.bills, energy_wh = s.energy_wh + excluded.energy_wh,
        seconds = s.seconds + excluded.seconds, total_minor = s.total_minor + excluded.total_minor,
        vat_minor = s.vat_minor + excluded.vat_minor,
        not_charged_minor = s.not_charged_minor + excluded.not_charged_minor,
        operator_minor = s.operator_minor + excluded.operator_minor,
        operator_vat_minor = s.operator_vat_minor + excluded.operator_vat_minor,
        provider_minor = s.provider_minor + excluded.provider_minor,
        host_minor = s.host_minor + excluded.host_minor,
        top_era = excluded.top_era, top_xid = excluded.top_xid;

    update sum_mark set era = bound.era, xid = bound.xid where name = 'bill';
    return (bound.era, bound.xid) < ((select max(era) from cluster_era), pg_snapshot_xmin(pg_current_snapshot()));
end $$;

-- The road's write, with it: as in 0005 -------------------------------------------------------------------------------

alter type bill_in add attribute host_minor bigint;

create or replace function save(
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
            flags, issued_at, revision, kind, corrects, reason, made_by, periods, shares_by, host_minor)
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
