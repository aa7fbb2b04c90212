-- Packs of battery stations: how each is, who has it, exchanges of them, and rights to use them that were bought before.

alter table site add column power_cap_w integer check (power_cap_w > 0);
comment on column site.power_cap_w is 'what its battery stations may draw together; null: no limit';

-- A pack as its station last told of it. The serial is what its battery says; the item's code is printed on it.
create table pack (
    code text primary key references item,
    serial text not null unique check (length(serial) between 1 and 50),
    alias text not null unique generated always as (upper(substr(md5(serial), 1, 16))) stored,
    capacity_wh integer check (capacity_wh > 0),
    soc smallint,
    soh smallint,
    mv integer,
    ma integer,
    temp smallint,
    cycles integer,
    discharge_wh bigint,
    charge_wh bigint,
    epoch integer,
    made date,
    faults text[] not null,
    mode text check (mode in ('idle', 'charging', 'discharging', 'faulted')),
    source text check (source in ('station', 'terminal')),
    at timestamptz,
    key text not null,
    quarantine text,
    version integer not null
) with (fillfactor = 70);
comment on column pack.alias is 'stands for the serial where a token has no room for it (Auth.Token)';
comment on column pack.quarantine is 'why it is not handed out until staff have looked at it; null: it may be';

-- Every state that was told of a pack, by whom; partitioned by month, dropped when old.
create table pack_state (
    day date not null,
    code text not null,
    at timestamptz not null,
    id text not null,
    source text not null check (source in ('station', 'terminal')),
    station_id text,
    unit integer,
    soc smallint not null,
    soh smallint,
    mv integer,
    ma integer,
    temp smallint,
    cycles integer,
    discharge_wh bigint,
    charge_wh bigint,
    epoch integer,
    capacity_wh integer,
    faults text[],
    mode text,
    primary key (day, code, at, id)
) partition by range (day);

create function ensure_pack_states(wanted date) returns void language plpgsql as $$
declare
    first_day date := date_trunc('month', wanted);
    name text := 'pack_state_' || to_char(wanted, 'YYYYMM');
begin
    perform pg_advisory_xact_lock(hashtext('ensure_pack_states'));
    if to_regclass(name) is null then
        execute format('create table %I partition of pack_state for values from (%L) to (%L)',
            name, first_day, first_day + interval '1 month');
    end if;
end $$;
-- It makes tables, so it runs as the owner, and looks for them in this schema alone.
do $$
begin
    execute format('alter function ensure_pack_states security definer set search_path = %I, pg_temp', current_schema());
end $$;

-- What a station asks of packs before it hands them out, and what it does with somebody else's.
create table slot_rules (
    station_id text primary key references station,
    target_soc smallint not null check (target_soc between 1 and 10000),
    soh_min smallint not null check (soh_min between 0 and 10000),
    temp_min smallint not null check (temp_min between -100 and 200),
    temp_max smallint not null check (temp_max between -100 and 200),
    foreign_packs text not null check (foreign_packs in ('return', 'accept')),
    check (temp_min < temp_max)
);

-- One visit at a battery station: packs in, packs out, or both. What it costs is in the rentals of its packs.
create table swap (
    id uuid primary key,
    version integer not null,
    station_id text not null references station,
    rid bigint not null check (rid >= 0),
    state text not null check (state in (
        'authorised', 'unidentified', 'awaiting_payment', 'releasing', 'completed', 'orphaned', 'returned',
        'aborted')),
    driver_id text,
    provider_id text not null,
    asked_by text not null,
    proof text not null,
    wanted smallint not null check (wanted between 0 and 16),
    opened_at timestamptz not null,
    inserted_at timestamptz,
    ended_at timestamptz,
    checked_at timestamptz,
    units_in integer[] not null,
    packs_in text[] not null,
    rentals_in uuid[] not null,
    units_out integer[] not null,
    packs_out text[] not null,
    rentals_out uuid[] not null,
    flags text[] not null,
    reason text
) with (fillfactor = 70);
create unique index swap_open on swap (station_id, rid) where ended_at is null;
create index swap_rid on swap (station_id, rid, opened_at, id);
create index swap_station on swap (station_id, opened_at, id);
create index swap_driver on swap (driver_id, opened_at, id);
create index swap_provider on swap (provider_id, opened_at, id);
create index swap_open_of on swap (driver_id, id) where ended_at is null;
create index swap_due on swap (checked_at) where checked_at is not null;
comment on column swap.rid is 'its number at its station: chosen there, or by us from 2^30 on';

-- Packs that a driver wants kept at a station, on some days of the week or every day, from a time for some minutes.
create table pack_reservation (
    id uuid primary key,
    version integer not null,
    station_id text not null references station,
    driver_id text not null references driver,
    item_type text,
    wanted smallint not null check (wanted between 1 and 16),
    days smallint not null check (days between 1 and 127),
    begins smallint not null check (begins between 0 and 1439),
    minutes smallint not null check (minutes between 1 and 1440),
    from_date date not null,
    until_date date check (until_date >= from_date),
    time_zone text not null,
    used_on date,
    state text not null check (state in ('active', 'cancelled')),
    created_at timestamptz not null
);
create index pack_reservation_station on pack_reservation (station_id, id) where state = 'active';
create index pack_reservation_driver on pack_reservation (driver_id, id);
comment on column pack_reservation.days is 'a bit per day of the week: 1 Monday, 64 Sunday';
comment on column pack_reservation.used_on is 'the last day for which its driver came';

-- The order of charging that a station was last told.
create table slot_plan (
    station_id text primary key references station,
    plan jsonb not null,
    told_at timestamptz not null
);

-- Rights to use that are sold: so many Wh, seconds, deliveries, or so much value, valid for some days.
create table voucher_product (
    id text not null check (id ~ '^[A-Za-z0-9._-]{1,48}$'),
    version integer not null check (version > 0),
    provider_id text references provider,
    name text not null check (length(name) between 1 and 200),
    unit text not null check (unit in ('wh', 'sec', 'cnt', 'val')),
    amount bigint not null check (amount > 0),
    price_minor bigint not null check (price_minor >= 0),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    vat_percent numeric not null check (vat_percent between 0 and 100),
    valid_days integer not null check (valid_days between 1 and 3660),
    carry_over boolean not null,
    overuse_price numeric check (overuse_price >= 0),
    refund text not null check (refund in ('none', 'untouched', 'unused')),
    effect jsonb,
    conditions jsonb,
    uses_max integer check (uses_max > 0),
    quota integer check (quota > 0),
    on_sale boolean not null default true,
    created_at timestamptz not null,
    primary key (id, version)
);
comment on column voucher_product.effect is 'what becomes of a price that is covered; null: nothing is left of it';
comment on column voucher_product.conditions is 'where and when it covers; null: anywhere and always';
comment on column voucher_product.quota is 'so many are sold at most that are valid at one time';
comment on column voucher_product.overuse_price is 'per kWh, hour or delivery beyond it, tax included; null: the tariff';

create table voucher (
    id uuid primary key,
    version integer not null,
    driver_id text not null references driver,
    provider_id text references provider,
    product_id text not null,
    product_version integer not null,
    unit text not null check (unit in ('wh', 'sec', 'cnt', 'val')),
    total bigint not null check (total > 0),
    used bigint not null check (used between 0 and total),
    price_minor bigint not null check (price_minor >= 0),
    released_minor bigint not null check (released_minor between 0 and price_minor),
    currency text not null check (currency ~ '^[A-Z]{3}$'),
    vat_percent numeric not null,
    overuse_price numeric,
    valid_from timestamptz not null,
    valid_until timestamptz not null check (valid_until > valid_from),
    carry_until timestamptz check (carry_until > valid_until),
    refund text not null,
    state text not null check (state in ('active', 'refunded', 'expired')),
    bought_at timestamptz not null,
    uses integer not null default 0,
    uses_max integer check (uses <= uses_max),
    terms text,
    foreign key (product_id, product_version) references voucher_product
) with (fillfactor = 70);
comment on column voucher.terms is 'JSON {effect, conditions} as the product said when it was bought; null: none';
create index voucher_driver on voucher (driver_id, valid_from, id);
create index voucher_of_product on voucher (product_id, product_version);

-- What one use took of one voucher: units, and the money that this released.
create table voucher_use (
    voucher_id uuid not null,
    session_id uuid not null,
    units bigint not null check (units > 0),
    minor bigint not null check (minor >= 0),
    at timestamptz not null,
    value_minor bigint check (value_minor >= 0),
    primary key (voucher_id, session_id)
);
comment on column voucher_use.value_minor is 'the part of a price that it took the place of; null where quantities were covered';
create index voucher_use_session on voucher_use (session_id);

-- What is asked for a bill: the part of it that no voucher paid.
create function asked_minor(b bill) returns bigint language sql stable as $$
    select b.total_minor - coalesce((select sum(u.minor) from voucher_use u where u.session_id = b.session_id), 0)::bigint
$$;

select guard('pack', 'exists (select from item i where i.code = pack.code)', 'exists (select from item i where i.code = pack.code)',
    'exists (select from item i where i.code = pack.code and i.provider_id = own_provider())');
-- Of a pack in the own hands a driver sees how it has been since it was handed out, and nothing of who had it before.
select guard('pack_state', 'exists (select from item i where i.code = pack_state.code)',
    'exists (select from rental r where r.item = pack_state.code and r.driver_id = own_driver() and r.closed_at is null'
    ' and r.taken_at <= pack_state.at)');
select guard('slot_rules', 'exists (select from station s where s.id = slot_rules.station_id)', null,
    'exists (select from station s where s.id = slot_rules.station_id)');
select guard('swap', 'provider_id = own_provider()', 'driver_id = own_driver() or asked_by = own_client()');
select guard('pack_reservation', 'exists (select from station s where s.id = pack_reservation.station_id)',
    'driver_id = own_driver()');
select guard('slot_plan', 'exists (select from station s where s.id = slot_plan.station_id)', null);
select guard('voucher_product', 'provider_id = own_provider() or provider_id is null', 'true', 'provider_id = own_provider()');
select guard('voucher', 'provider_id = own_provider()', 'driver_id = own_driver()');
select guard('voucher_use', 'exists (select from voucher v where v.id = voucher_use.voucher_id)',
    'exists (select from voucher v where v.id = voucher_use.voucher_id)');

-- What stations' reports alone change.
revoke insert, update, delete on pack_state, swap, slot_plan, voucher_use from csms_staff;
create trigger voucher_of_somebody before insert on voucher
    for each row execute function refuse_erased();
create trigger reservation_of_somebody before insert on pack_reservation
    for each row execute function refuse_erased();

-- Nothing is kept for somebody who was forgotten.
create function cancel_reservations() returns trigger language plpgsql as $$
begin
    update pack_reservation
    set state = 'cancelled', version = version + 1
    where driver_id = new.id
    and state = 'active';
    return null;
end $$;
create trigger driver_erased_keeps_nothing after update of erased_at on driver
    for each row when (new.erased_at is not null) execute function cancel_reservations();

-- As in 0016, and a pack is ready only when its station would hand it out, as csms/domain/packs.py judges it.
create or replace view door_view with (security_invoker = true) as
select c.station_id, c.number as connector, c.kind, case c.kind when 'slot' then 'battery' else 'portable' end as holds,
    coalesce(d.state, 'unknown') as state, i.code as item, i.type as item_type, i.state as item_state,
    u.is_kept as is_reserved, d.fault, coalesce(d.out_of_service, false) as out_of_service, d.mark_at as known_at,
    u.is_usable and not u.is_kept and d.mark_at is not null and d.mark_item is null and i.code is null as is_free,
    u.is_usable and not u.is_kept and i.code = d.mark_item and i.state = 'ok'
        and i.kind = case c.kind when 'slot' then 'battery' else 'portable' end
        and not exists (
            select from rental r
            where r.item = i.code
            and r.state in ('opening', 'active', 'returning', 'overdue', 'provisional'))
        and (c.kind <> 'slot' or exists (
            select from pack p
            left join slot_rules s on s.station_id = c.station_id
            where p.code = i.code
            and p.source = 'station'
            and p.soc >= coalesce(s.target_soc, 9000)
            and p.quarantine is null
            and p.faults = '{}'
            and p.mode is distinct from 'faulted'
            and (p.soh is null or p.soh >= coalesce(s.soh_min, 7000))
            and (p.temp is null or p.temp between coalesce(s.temp_min, 0) and coalesce(s.temp_max, 45)))) as is_ready
from connector c
left join door d on d.station_id = c.station_id and d.unit = c.number
left join item i on i.station_id = c.station_id and i.unit = c.number and i.place = 'connector'
cross join lateral (
    select
        d.state in ('closed', 'unknown') and d.fault is null and not d.out_of_service as is_usable,
        d.reserved_for is not null or exists (
            select from door_grant g
            where g.station_id = c.station_id
            and g.unit = c.number
            and g.state in ('issued', 'sent', 'accepted')) as is_kept) u
where c.kind in ('door', 'slot')
and c.number > 0;

-- Batteries that were items before.
insert into pack (code, serial, faults, key, version)
select code, code, '{}', '', 1
from item
where kind = 'battery';

-- The road's rows ----------------------------------------------------------------------------------------------------

alter table door_grant add column opening_s smallint not null default 10;
comment on column door_grant.opening_s is 'how long an accepted grant waits for its door to open, or its pack to be taken';
alter type grant_in add attribute opening_s smallint;

-- A pack's level when it was handed out, and when it came back.
create type pack_level as (
    soc smallint, soh smallint, capacity_wh integer, discharge_wh bigint, charge_wh bigint, epoch integer, at timestamptz);
alter table rental
    add column swap_id uuid,
    add column level_out pack_level,
    add column level_in pack_level,
    add column battery_wh integer check (battery_wh >= 0);
alter type rental_in
    add attribute swap_id uuid, add attribute level_out pack_level, add attribute level_in pack_level,
    add attribute battery_wh integer;
create index rental_swap on rental (swap_id) where swap_id is not null;

alter table session add column drawn_minor bigint not null default 0 check (drawn_minor >= 0);
comment on column session.drawn_minor is 'the part of its fee that vouchers released';
alter type session_in add attribute drawn_minor bigint;

create type pack_in as (
    code text, serial text, capacity_wh integer, soc smallint, soh smallint, mv integer, ma integer, temp smallint,
    cycles integer, discharge_wh bigint, charge_wh bigint, epoch integer, made date, faults text[], mode text,
    source text, at timestamptz, key text, quarantine text, version integer);
create type pack_state_in as (
    day date, code text, at timestamptz, id text, source text, station_id text, unit integer, soc smallint,
    soh smallint, mv integer, ma integer, temp smallint, cycles integer, discharge_wh bigint, charge_wh bigint,
    epoch integer, capacity_wh integer, faults text[], mode text);
create type swap_in as (
    id uuid, version integer, station_id text, rid bigint, state text, driver_id text, provider_id text, asked_by text,
    proof text, wanted smallint, opened_at timestamptz, inserted_at timestamptz, ended_at timestamptz,
    checked_at timestamptz, units_in integer[], packs_in text[], rentals_in uuid[], units_out integer[],
    packs_out text[], rentals_out uuid[], flags text[], reason text);
create type voucher_used_in as (id uuid, version integer, used bigint, released_minor bigint, uses integer);
create type voucher_use_in as (
    voucher_id uuid, session_id uuid, units bigint, minor bigint, at timestamptz, value_minor bigint);
create type reservation_used_in as (id uuid, version integer, used_on date);

create or replace function save_assets(
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
                closed_at = n.closed_at, extended_at = n.extended_at, swap_id = n.swap_id,
                level_out = n.level_out, level_in = n.level_in, battery_wh = n.battery_wh
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

-- What a batch changes of packs, swaps, vouchers and reservations, after save_assets. Packs exist before, as items do.
create function save_packs(
    packs pack_in[], states pack_state_in[], swaps swap_in[], vouchers voucher_used_in[], uses voucher_use_in[],
    reservations reservation_used_in[]) returns void language plpgsql
set enable_seqscan = off set enable_hashjoin = off set enable_mergejoin = off as $$
declare
    written integer;
    expected integer;
begin
    update pack p
    set capacity_wh = n.capacity_wh, soc = n.soc, soh = n.soh, mv = n.mv, ma = n.ma, temp = n.temp,
        cycles = n.cycles, discharge_wh = n.discharge_wh, charge_wh = n.charge_wh, epoch = n.epoch, made = n.made,
        faults = n.faults, mode = n.mode, source = n.source, at = n.at, key = n.key, quarantine = n.quarantine,
        version = n.version
    from unnest(packs) n
    where p.code = n.code
    and p.version = n.version - 1;
    get diagnostics written = row_count;
    if written <> cardinality(packs) then perform lost_race('pack'); end if;

    insert into pack_state select * from unnest(states) on conflict (day, code, at, id) do nothing;

    update swap s
    set version = n.version, state = n.state, driver_id = n.driver_id, wanted = n.wanted,
        inserted_at = n.inserted_at, ended_at = n.ended_at, checked_at = n.checked_at, units_in = n.units_in,
        packs_in = n.packs_in, rentals_in = n.rentals_in, units_out = n.units_out, packs_out = n.packs_out,
        rentals_out = n.rentals_out, flags = n.flags, reason = n.reason
    from unnest(swaps) n
    where s.id = n.id
    and s.version = n.version - 1;
    get diagnostics written = row_count;
    select count(*) into expected from unnest(swaps) n where n.version > 1;
    if written <> expected then perform lost_race('swap'); end if;
    begin
        insert into swap select * from unnest(swaps) n where n.version = 1;
    exception when unique_violation then
        perform lost_race('swap of a station');
    end;

    update voucher v
    set version = n.version, used = n.used, released_minor = n.released_minor, uses = n.uses
    from unnest(vouchers) n
    where v.id = n.id
    and v.version = n.version - 1
    and v.state = 'active';
    get diagnostics written = row_count;
    if written <> cardinality(vouchers) then perform lost_race('voucher'); end if;
    insert into voucher_use select * from unnest(uses) on conflict (voucher_id, session_id) do nothing;
    get diagnostics written = row_count;
    if written <> cardinality(uses) then perform lost_race('use of a voucher'); end if;

    update pack_reservation r
    set version = n.version, used_on = n.used_on
    from unnest(reservations) n
    where r.id = n.id
    and r.version = n.version - 1;
    get diagnostics written = row_count;
    if written <> cardinality(reservations) then perform lost_race('reservation'); end if;
end $$;
revoke execute on function save_packs from csms_staff;

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
            drawn_minor)
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
            drawn_minor = m.drawn_minor
        from unnest(moved) m
        where s.station_id = m.station_id
        and s.id = m.id
        and s.version = m.version - 1;
        get diagnostics written = row_count;
        if written <> cardinality(moved) then perform lost_race('session version'); end if;
    end if;
end $$;

-- As in 0011, and nobody is forgotten whose voucher could still be given back.
create or replace function unfinished(of_driver text) returns text stable language sql as $$
    select reason
    from (
        select 1 as place, 'a session has not been settled' as reason
        where exists (
            select from session s
            where s.driver_id = of_driver
            and s.state not in ('completed', 'invalid'))
        union all
        select 2, 'the balance is not 0'
        where exists (
            select from guarded_account g
            where g.address = 'driver:' || of_driver || ':balance'
            and g.balance <> 0)
        union all
        select 3, 'a debt is not paid'
        where exists (
            select from transfer t
            where 'driver:' || of_driver || ':debt' in (t.debit, t.credit)
            group by t.asset
            having sum(case when t.credit = 'driver:' || of_driver || ':debt' then t.amount else -t.amount end) <> 0)
        union all
        select 4, 'a refund is on its way'
        where exists (select from refund r where r.driver_id = of_driver and r.state = 'pending')
        union all
        select 5, 'a payment is being made'
        where exists (
            select from authorizations_of(of_driver) a
            where a.state in ('asking', 'authorized', 'timed_out', 'voiding'))
        or exists (
            select from session s
            join outbox o on o.subject = 'session/' || s.id and o.state = 'waiting'
            where s.driver_id = of_driver)
        union all
        select 6, 'a voucher is not used up'
        where exists (
            select from voucher v
            where v.driver_id = of_driver
            and v.state = 'active'
            and v.used < v.total
            and v.refund <> 'none')) found
    order by place
    limit 1
$$;

-- Everything belongs to csms_owner (0011), also what was added since.
do $$
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
