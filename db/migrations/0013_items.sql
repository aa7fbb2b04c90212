-- Items that leave a connector and come back: where they are, which door may open, who has them. A rental's money is a
-- row of `session` with the same id (docs/decisions/0014): held, billed, collected and divided like any other use.

alter table session
    add column use text not null default 'charge' check (use in ('charge', 'rental')),
    add column host_bp smallint not null default 0 check (host_bp between 0 and 10000);
comment on column session.use is 'what was used: a connector''s energy, or an item that was lent';
comment on column session.host_bp is 'share of the site''s host, whose electricity a portable charger gives';

alter table station
    add column portable boolean not null default false;
comment on column station.portable is 'a portable charger: it gives energy to whoever has rented the item of its id';

-- One thing that is lent. `at` and `key` are the event that put it where it is: only a later one moves it.
create table item (
    code text primary key check (code ~ '^[A-Za-z0-9*_=:+|@.-]{1,48}$'),
    kind text not null check (kind in ('portable', 'battery')),
    type text not null check (type ~ '^[A-Za-z0-9._-]{1,48}$'),
    provider_id text not null references provider,
    label text check (length(label) <= 100),
    state text not null default 'ok' check (state in ('ok', 'broken', 'retired', 'sold')),
    place text not null check (place in ('connector', 'driver', 'staff', 'workshop', 'lost', 'unknown')),
    station_id text references station,
    unit integer check (unit between 1 and 9999),
    rental_id uuid,
    at timestamptz not null,
    key text not null,
    tag text,
    plugged boolean not null default false,
    plugged_at timestamptz,
    version integer not null,
    created_at timestamptz not null,
    check ((place = 'connector') = (station_id is not null and unit is not null)),
    check ((place = 'driver') = (rental_id is not null)),
    -- A door holds one item at most; judged at the end of a transaction, so that two may change places.
    constraint item_has_its_door exclude using btree (station_id with =, unit with =)
        where (place = 'connector') deferrable initially deferred
);
create index item_provider on item (provider_id, code);
comment on column item.tag is 'the outlet that a portable charger was last plugged into';

-- A door or slot as its cabinet reports it. The mark is the newest report of what stands behind it.
create table door (
    station_id text not null references station,
    unit integer not null check (unit between 1 and 9999),
    state text not null check (state in ('closed', 'open', 'ajar', 'jammed', 'forced', 'unknown')),
    state_at timestamptz,
    state_key text not null,
    opened_at timestamptz,
    mark_item text,
    mark_at timestamptz,
    mark_key text not null,
    out_of_service boolean not null,
    fault text,
    reserved_for uuid,
    told smallint not null,
    version integer not null,
    primary key (station_id, unit)
) with (fillfactor = 70);
create index door_reserved on door (reserved_for) where reserved_for is not null;
create index door_open on door (opened_at) where opened_at is not null;
comment on column door.mark_item is 'null: nothing stands there';
comment on column door.told is 'how often people were told that it stands open: 0, 1 (the driver), 2 (staff)';

-- The permission to open one door once, until a time: the trail of who opened what, why, and how they proved presence.
create table door_grant (
    id uuid primary key,
    station_id text not null references station,
    unit integer not null,
    why text not null check (why in ('take', 'return', 'inspect', 'service')),
    state text not null check (state in ('issued', 'sent', 'accepted', 'used', 'failed', 'expired', 'revoked')),
    rental_id uuid,
    item text,
    driver_id text,
    issued_at timestamptz not null,
    expires_at timestamptz not null,
    opened_at timestamptz,
    ended_at timestamptz,
    error text,
    proof text not null,
    by_whom text not null,
    reason text,
    attempt smallint not null,
    version integer not null
) with (fillfactor = 70);
create unique index door_grant_live on door_grant (station_id, unit) where state in ('issued', 'sent', 'accepted');
create index door_grant_rental on door_grant (rental_id);
create index door_grant_door on door_grant (station_id, unit, issued_at);
create index door_grant_station on door_grant (station_id, issued_at, id);

create table rental (
    id uuid primary key,
    version integer not null,
    state text not null check (state in (
        'requested', 'opening', 'active', 'returning', 'overdue', 'provisional', 'deemed', 'closed', 'cancelled', 'refused')),
    station_id text not null references station,
    unit integer,
    provider_id text not null,
    driver_id text,
    item text references item,
    item_type text,
    requested_at timestamptz not null,
    asked_by text not null,
    proof text not null,
    taken_at timestamptz,
    due_at timestamptz,
    returned_at timestamptz,
    return_station text,
    return_unit integer,
    stopped_at timestamptz,
    extensions smallint not null,
    outage_s integer not null,
    damage_minor bigint not null check (damage_minor >= 0),
    tries smallint not null,
    reminders smallint not null,
    flags text[] not null,
    reason text,
    checked_at timestamptz,
    closed_at timestamptz,
    extended_at timestamptz
) with (fillfactor = 70);
comment on column rental.stopped_at is 'when a return failed for our sake: the clock stands still from there';
comment on column rental.checked_at is 'when time alone changes something about it next; null: never';
create index rental_driver on rental (driver_id, requested_at, id);
create index rental_item on rental (item, requested_at);
create index rental_station on rental (station_id, requested_at, id);
create index rental_provider on rental (provider_id, requested_at, id);
create index rental_open_from on rental (station_id) where closed_at is null;
create index rental_open_to on rental (return_station) where closed_at is null;
create index rental_due on rental (checked_at) where checked_at is not null;
-- One open custody of an item.
create unique index rental_open on rental (item) where state in (
    'opening', 'active', 'returning', 'overdue', 'provisional');

-- What cabinets and portable chargers reported, by the id they gave it: a repeat gets the first answer, for ever.
create table asset_report (
    station_id text not null references station,
    id text not null,
    kind text not null,
    seq bigint,
    at timestamptz not null,
    received_at timestamptz not null,
    offline boolean not null,
    unit integer,
    item text,
    error text,
    grant_id uuid,
    rental_id uuid,
    answer_unit integer,
    expires_at timestamptz,
    raw text not null,
    primary key (station_id, id)
);
create index asset_report_arrived on asset_report (station_id, received_at);

-- How far a cabinet's events are known; a gap in their numbers has it asked for a snapshot.
create table cabinet (
    station_id text primary key references station,
    last_seq bigint,
    seen_at timestamptz,
    version integer not null
);

-- The outlets that portable chargers are plugged into, and whose electricity they give.
create table outlet_tag (
    tag text primary key check (tag ~ '^[A-Za-z0-9*_=:+|@.-]{1,48}$'),
    site_id text not null references site,
    created_at timestamptz not null
);

select guard('item', 'provider_id = own_provider()',
    'exists (select from rental r where r.item = item.code and r.driver_id = own_driver() and r.closed_at is null)',
    'provider_id = own_provider()');
select guard('door', 'exists (select from station s where s.id = door.station_id)', null);
select guard('door_grant', 'exists (select from station s where s.id = door_grant.station_id)', 'driver_id = own_driver()');
select guard('rental', 'provider_id = own_provider()', 'driver_id = own_driver()');
select guard('asset_report', 'exists (select from station s where s.id = asset_report.station_id)', null);
select guard('cabinet', 'exists (select from station s where s.id = cabinet.station_id)', null);
select guard('outlet_tag', 'exists (select from site s where s.id = outlet_tag.site_id)', null,
    'exists (select from site s where s.id = outlet_tag.site_id and s.provider_id = own_provider())');

-- The road's rows ---------------------------------------------------------------------------------------------------

alter type session_in add attribute use text, add attribute host_bp smallint;

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
            fee_minor, end_reason, reason, flags, opened_at, closed_at, rest, time_zone, revision, policy, use, host_bp)
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
            time_zone = m.time_zone, revision = m.revision, policy = m.policy, host_bp = m.host_bp
        from unnest(moved) m
        where s.station_id = m.station_id
        and s.id = m.id
        and s.version = m.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(moved) then perform lost_race('session version'); end if;
    end if;
end $$;

create type item_in as (
    code text, kind text, type text, provider_id text, state text, place text, station_id text, unit integer,
    rental_id uuid, at timestamptz, key text, tag text, plugged boolean, plugged_at timestamptz, version integer);
create type door_in as (
    station_id text, unit integer, state text, state_at timestamptz, state_key text, opened_at timestamptz,
    mark_item text, mark_at timestamptz, mark_key text, out_of_service boolean, fault text, reserved_for uuid,
    told smallint, version integer);
create type grant_in as (
    id uuid, station_id text, unit integer, why text, state text, rental_id uuid, item text, driver_id text,
    issued_at timestamptz, expires_at timestamptz, opened_at timestamptz, ended_at timestamptz, error text,
    proof text, by_whom text, reason text, attempt smallint, version integer);
create type rental_in as (
    id uuid, version integer, state text, station_id text, unit integer, provider_id text, driver_id text, item text,
    item_type text, requested_at timestamptz, asked_by text, proof text, taken_at timestamptz, due_at timestamptz,
    returned_at timestamptz, return_station text, return_unit integer, stopped_at timestamptz, extensions smallint,
    outage_s integer, damage_minor bigint, tries smallint, reminders smallint, flags text[], reason text,
    checked_at timestamptz, closed_at timestamptz, extended_at timestamptz);
create type asset_report_in as (
    station_id text, id text, kind text, seq bigint, at timestamptz, received_at timestamptz, offline boolean,
    unit integer, item text, error text, grant_id uuid, rental_id uuid, answer_unit integer, expires_at timestamptz,
    raw text);
create type cabinet_in as (station_id text, last_seq bigint, seen_at timestamptz, version integer);

-- Everything that reports of items and doors change. A row of version 1 is new; each other is one above the stored one.
-- Raises CS001 when a writer saw older rows than it thought. Items, rentals, doors, grants: in this order everywhere.
create function save_assets(
    reports asset_report_in[], rentals rental_in[], items item_in[], doors door_in[], grants grant_in[],
    cabinets cabinet_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
    expected integer;
    is_over boolean;
begin
    insert into asset_report
    select * from unnest(reports)
    on conflict (station_id, id) do nothing;
    get diagnostics written = row_count;
    if written <> cardinality(reports) then perform lost_race('report of items'); end if;

    update item i
    set state = n.state, place = n.place, station_id = n.station_id, unit = n.unit, rental_id = n.rental_id,
        at = n.at, key = n.key, tag = n.tag, plugged = n.plugged, plugged_at = n.plugged_at, version = n.version
    from unnest(items) n
    where i.code = n.code
    and i.version = n.version - 1;
    get diagnostics written = row_count;
    if written <> cardinality(items) then perform lost_race('item'); end if;

    begin
        expected := 0;
        -- what is over first, so that an item's next rental finds it free
        foreach is_over in array array[true, false] loop
            update rental r
            set version = n.version, state = n.state, unit = n.unit, driver_id = n.driver_id, item = n.item,
                taken_at = n.taken_at, due_at = n.due_at, returned_at = n.returned_at,
                return_station = n.return_station, return_unit = n.return_unit, stopped_at = n.stopped_at,
                extensions = n.extensions, outage_s = n.outage_s, damage_minor = n.damage_minor, tries = n.tries,
                reminders = n.reminders, flags = n.flags, reason = n.reason, checked_at = n.checked_at,
                closed_at = n.closed_at, extended_at = n.extended_at
            from unnest(rentals) n
            where r.id = n.id
            and r.version = n.version - 1
            and (n.closed_at is not null) = is_over;
            get diagnostics written = row_count;
            expected := expected + written;
        end loop;
        select count(*) into written from unnest(rentals) n where n.version > 1;
        if written <> expected then perform lost_race('rental'); end if;
        insert into rental select * from unnest(rentals) n where n.version = 1;
    exception when unique_violation then
        perform lost_race('rental of an item');
    end;

    update door d
    set state = n.state, state_at = n.state_at, state_key = n.state_key, opened_at = n.opened_at,
        mark_item = n.mark_item, mark_at = n.mark_at, mark_key = n.mark_key, out_of_service = n.out_of_service,
        fault = n.fault, reserved_for = n.reserved_for, told = n.told, version = n.version
    from unnest(doors) n
    where d.station_id = n.station_id
    and d.unit = n.unit
    and d.version = n.version - 1;
    get diagnostics written = row_count;
    select count(*) into expected from unnest(doors) n where n.version > 1;
    if written <> expected then perform lost_race('door'); end if;
    insert into door select * from unnest(doors) n where n.version = 1 on conflict do nothing;
    get diagnostics written = row_count;
    if written <> cardinality(doors) - expected then perform lost_race('door'); end if;

    update door_grant g
    set state = n.state, opened_at = n.opened_at, ended_at = n.ended_at, error = n.error, version = n.version
    from unnest(grants) n
    where g.id = n.id
    and g.version = n.version - 1;
    get diagnostics written = row_count;
    select count(*) into expected from unnest(grants) n where n.version > 1;
    if written <> expected then perform lost_race('grant'); end if;
    begin
        insert into door_grant select * from unnest(grants) n where n.version = 1;
    exception when unique_violation then
        perform lost_race('live grant of a door');
    end;

    insert into cabinet select * from unnest(cabinets) on conflict (station_id) do update
    set last_seq = excluded.last_seq, seen_at = excluded.seen_at, version = excluded.version
    where cabinet.version = excluded.version - 1;
    get diagnostics written = row_count;
    if written <> cardinality(cabinets) then perform lost_race('cabinet'); end if;
end $$;
revoke execute on function save_assets from csms_staff;
