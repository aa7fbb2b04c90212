-- Whoever has a door opened from afar stands before it: how a cabinet has that proven, and which proofs were used.
-- Means of payment that drivers add; the charging of rented items that was asked for.

create table cabinet_presence (
    station_id text primary key references station on delete cascade,
    methods text[] not null check (methods <@ '{totp,ble,geofence}'),
    secret bytea check (length(secret) = 32),
    latitude double precision check (latitude between -90 and 90),
    longitude double precision check (longitude between -180 and 180),
    radius_m integer not null check (radius_m between 1 and 10000),
    accuracy_m_max integer not null check (accuracy_m_max between 1 and 10000),
    changed_at timestamptz not null,
    check ((latitude is null) = (longitude is null)),
    check (not 'geofence' = any (methods) or latitude is not null),
    check (not methods && '{totp,ble}' or secret is not null)
);
comment on column cabinet_presence.secret is 'known to the cabinet: its codes and nonces are made with it';
comment on column cabinet_presence.latitude is 'a cabinet with a place is on the map that drivers see';

-- A proof counts once. `once` is a digest of what it was made of; `request_id` is what it was used for, so that the same
-- request again is no second use.
create table presence_use (
    once bytea primary key check (length(once) = 32),
    station_id text not null references station,
    driver_id text,
    method text not null check (method in ('totp', 'ble', 'geofence')),
    request_id uuid not null,
    used_at timestamptz not null
);
create index presence_use_request on presence_use (request_id);

-- A stored means at a psp: the token of type `app` that names its person there, and what its driver calls it.
create table payment_means (
    id uuid primary key,
    token_key bytea not null unique references token on delete cascade,
    driver_id text not null references driver,
    label text not null check (length(label) between 1 and 100),
    created_at timestamptz not null
);
create index payment_means_driver on payment_means (driver_id, id);

-- Each command by which a rented item was told to charge; a repeat finds the one that is under way.
create table charging_request (
    rental_id uuid not null references rental,
    number integer not null check (number > 0),
    command_id uuid not null,
    token_key bytea not null,
    item text not null,
    asked_at timestamptz not null,
    primary key (rental_id, number)
);

select guard('cabinet_presence', 'exists (select from station s where s.id = cabinet_presence.station_id)', null,
    'exists (select from station s where s.id = cabinet_presence.station_id)');
select guard('presence_use', null, null);
select guard('payment_means', null, 'driver_id = own_driver()');
select guard('charging_request', null, null);

-- While a psp decides, and after it refused, a rental has no driver yet: whoever asked for it sees it all the same.
alter policy driver_sees on rental using (driver_id = own_driver() or asked_by = own_client());

-- Doors and slots with what stands behind them: whether a driver may be sent there now to take or to bring an item, as
-- csms/domain/grants.py judges it.
create view door_view with (security_invoker = true) as
select c.station_id, c.number as connector, c.kind, case c.kind when 'slot' then 'battery' else 'portable' end as holds,
    coalesce(d.state, 'unknown') as state, i.code as item, i.type as item_type, i.state as item_state,
    u.is_kept as is_reserved, d.fault, coalesce(d.out_of_service, false) as out_of_service, d.mark_at as known_at,
    u.is_usable and not u.is_kept and d.mark_at is not null and d.mark_item is null and i.code is null as is_free,
    u.is_usable and not u.is_kept and i.code = d.mark_item and i.state = 'ok'
        and i.kind = case c.kind when 'slot' then 'battery' else 'portable' end
        and not exists (
            select from rental r
            where r.item = i.code
            and r.state in ('opening', 'active', 'returning', 'overdue', 'provisional')) as is_ready
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
grant select on door_view to csms_writer, csms_staff, csms_provider, csms_driver;

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
