-- Vouchers that count at sites with a tag, and vouchers that count for one vehicle only.

alter table site add column tags text[] not null default '{}' check (cardinality(tags) <= 16);
comment on column site.tags is 'words of the operator''s, which conditions of vouchers name; in order, each once';

alter table session
    add column site_tags text[] not null default '{}',
    add column stands_for bytea check (length(stands_for) = 32);
comment on column session.site_tags is 'the tags of its site when it was first heard of: vouchers are judged by them from then on';
comment on column session.stands_for is 'the key of the token that the one shown stands for; null: it is itself';
alter type session_in add attribute site_tags text[], add attribute stands_for bytea;

alter table voucher add column token_key bytea check (length(token_key) = 32);
comment on column voucher.token_key is 'the key of the vehicle for which it was bought, and counts alone; null: of any token';

create or replace function save_sessions(opened session_in[], moved session_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
begin
    if cardinality(opened) > 0 then
        insert into session (
            station_id, id, ref, start_key, version, state, day, connector, max_power_w, provider_id, site_id,
            terms_version, tariff_id, tariff_version, currency, token_key, token_masked, driver_id, means, psp,
            authorization_id, hold_minor, offline, started_at, ended_at, meter_start_wh, meter_end_wh, energy_wh,
            fee_minor, end_reason, reason, flags, opened_at, closed_at, rest, time_zone, revision, policy, use, host_bp,
            drawn_minor, site_tags, stands_for)
        select * from unnest(opened)
        on conflict do nothing;
        get diagnostics written = row_count;
        if written <> cardinality(opened) then perform lost_race('session opened'); end if;
    end if;

    if cardinality(moved) > 0 then
        -- in the order of the array, which the caller sorts by id
        update session s
        set version = m.version, state = m.state, connector = m.connector, max_power_w = m.max_power_w,
            site_id = m.site_id, terms_version = m.terms_version, tariff_id = m.tariff_id,
            tariff_version = m.tariff_version, currency = m.currency, token_key = m.token_key,
            token_masked = m.token_masked, driver_id = m.driver_id, means = m.means, psp = m.psp,
            authorization_id = m.authorization_id, hold_minor = m.hold_minor, offline = m.offline,
            started_at = m.started_at, ended_at = m.ended_at, meter_start_wh = m.meter_start_wh,
            meter_end_wh = m.meter_end_wh, energy_wh = m.energy_wh, fee_minor = m.fee_minor,
            end_reason = m.end_reason, reason = m.reason, flags = m.flags, closed_at = m.closed_at, rest = m.rest,
            time_zone = m.time_zone, revision = m.revision, policy = m.policy, host_bp = m.host_bp,
            drawn_minor = m.drawn_minor, site_tags = m.site_tags, stands_for = m.stands_for
        from unnest(moved) m
        where s.station_id = m.station_id
        and s.id = m.id
        and s.version = m.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(moved) then perform lost_race('session version'); end if;
    end if;
end $$;

-- As in 0020, and nothing is kept that tells with which vehicle.
create or replace function forget_vehicles() returns trigger language plpgsql as $$
begin
    if exists (select from voucher_payment p where p.driver_id = new.id and p.state = 'asking') then
        raise exception 'this driver cannot be erased yet: a voucher is being paid' using errcode = 'CS409';
    end if;
    delete from vehicle where driver_id = new.id;
    update voucher_payment set issuer = '', subject = '' where driver_id = new.id;
    update voucher set token_key = null where driver_id = new.id and token_key is not null;
    update session set stands_for = null where driver_id = new.id and stands_for is not null;
    return null;
end $$;

-- Everything belongs to csms_owner (0011): a migration that adds tables, views, types or functions ends by this call.
create function give_all_to_owner() returns void language plpgsql as $$
declare
    o record;
begin
    for o in
        select format('alter %s %s owner to csms_owner',
            case c.relkind when 'v' then 'view' when 'c' then 'type' else 'table' end, c.oid::regclass) as statement
        from pg_class c
        where c.relnamespace = current_schema()::regnamespace
        and c.relkind in ('r', 'p', 'v', 'c')
        and pg_get_userbyid(c.relowner) <> 'csms_owner'
        union all
        select format('alter function %s owner to csms_owner', p.oid::regprocedure)
        from pg_proc p
        where p.pronamespace = current_schema()::regnamespace
        and pg_get_userbyid(p.proowner) <> 'csms_owner'
        and not exists (select from pg_depend d where d.objid = p.oid and d.deptype = 'e')
    loop
        execute o.statement;
    end loop;
end $$;
revoke execute on function give_all_to_owner from public, csms_writer, csms_staff;

select give_all_to_owner();
