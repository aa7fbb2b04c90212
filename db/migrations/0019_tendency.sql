-- How drivers use stations: what of each session flowed in which quarter of an hour, what that comes to, and the middle
-- driver of many. Vouchers are chosen by it.

alter table driver
    add column vehicle_class text check (length(vehicle_class) between 1 and 48),
    add column keeps_tendency boolean not null default true,
    add column tendency_since timestamptz;
comment on column driver.vehicle_class is 'what kind of vehicle, in the operator''s words, for drivers of whom little is known';
comment on column driver.keeps_tendency is 'false: the driver opted out, and nothing is kept of how stations are used';
comment on column driver.tendency_since is 'sessions that began earlier were to be forgotten; null: none';
alter table site add column region text check (length(region) between 1 and 48);
comment on column site.region is 'where drivers are compared with each other; null: with all of no region';

create table usage_segment (
    driver_id text not null references driver,
    at timestamptz not null,
    session_id uuid not null,
    station_id text not null,
    wh integer not null check (wh >= 0),
    seconds integer not null check (seconds between 0 and 900),
    cheap boolean,
    primary key (driver_id, at, session_id)
);
-- What is older than its time is found by it, at next to no cost: rows come in the order of time.
create index usage_segment_at on usage_segment using brin (at);
comment on table usage_segment is 'a quarter of an hour of a billed session: the driver, and nothing else about a person';
comment on column usage_segment.at is 'the beginning of the quarter, UTC; the first one of a session: its start';
comment on column usage_segment.seconds is 'of charging or standing, within this quarter';
comment on column usage_segment.cheap is 'in the cheapest third of the day''s prices per kWh there; null: it has one price';

-- What the segments of the last 56 days come to. Lists of 12: 0 to 4 h, 4 to 8 h ... of weekdays, then of weekends, local
-- time of the site; of 3: quartiles, or power up to 7.4 kW, to 22 kW and above (docs/reference/tendency.md).
create table tendency (
    driver_id text primary key references driver,
    version integer not null check (version > 0),
    computed_at timestamptz not null,
    sessions integer not null check (sessions > 0),
    weeks integer not null check (weeks between 1 and 8),
    wh bigint not null,
    week_wh_mean bigint not null,
    week_wh_median bigint not null,
    bands_wh bigint[] not null check (cardinality(bands_wh) = 12),
    session_wh bigint[] not null check (cardinality(session_wh) = 3),
    session_s bigint[] not null check (cardinality(session_s) = 3),
    stations text[] not null check (cardinality(stations) between 1 and 5),
    stations_wh bigint[] not null check (cardinality(stations_wh) = cardinality(stations)),
    station_count integer not null,
    entropy numeric(6, 3) not null check (entropy >= 0),
    power_wh bigint[] not null check (cardinality(power_wh) = 3),
    cheap_wh bigint not null,
    priced_wh bigint not null check (priced_wh between cheap_wh and wh),
    swaps integer not null,
    region text not null,
    confidence text not null check (confidence in ('low', 'medium', 'high'))
) with (fillfactor = 70);
comment on column tendency.version is 'grows by one whenever anything of it changes; begins anew when it was forgotten';
comment on column tendency.entropy is 'of the stations by their Wh, in bits: 0 is one station alone';
comment on column tendency.priced_wh is 'Wh that had more than one price that day; cheap_wh is the cheap part of them';
comment on column tendency.swaps is 'packs rented in the same time';
comment on column tendency.region is 'of the site where most of it flowed; any: it has none';

-- The middle one, by Wh a week, of the drivers with one class of vehicle in one region; of twenty drivers and more.
create table cohort (
    class text not null,
    region text not null,
    drivers integer not null check (drivers >= 20),
    median_driver text not null references driver,
    computed_at timestamptz not null,
    primary key (class, region)
);
create index cohort_median on cohort (median_driver);

-- One row: up to which transaction, without it, bills have become segments; and the work of a night: for which day it
-- was done last, and which driver was the last one reached tonight.
create table tendency_mark (
    only_row boolean primary key default true check (only_row),
    era smallint not null default 0,
    xid xid8 not null default '0',
    night date,
    reached text
);
insert into tendency_mark (era, xid)
select coalesce(b.era, 0), coalesce(b.xid, '0')
from (values (true)) one
left join lateral (
    select era, xid
    from (select era, xid from bill where issued_at > now() - interval '57 days' offset 0) recent
    order by era, xid
    limit 1) b on true;

select guard('usage_segment', 'false', 'driver_id = own_driver()');
select guard('tendency', 'false', 'driver_id = own_driver()');
select guard('cohort', 'false', null);
select guard('tendency_mark', 'false', null);
revoke insert, update, delete on usage_segment, tendency, cohort, tendency_mark from csms_staff;

-- Forgets how a driver uses stations. Whoever calls it keeps the row of the driver locked: nothing is written meanwhile.
create function forget_tendency(of_driver text) returns void language sql as $$
    delete from usage_segment where driver_id = of_driver;
    delete from tendency where driver_id = of_driver;
    delete from cohort where median_driver = of_driver;
$$;
create function forget_tendency_of_erased() returns trigger language plpgsql as $$
begin
    perform forget_tendency(new.id);
    new.vehicle_class := null;
    return new;
end $$;
create trigger driver_erased_has_no_tendency before update of erased_at on driver
    for each row when (new.erased_at is not null) execute function forget_tendency_of_erased();

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
