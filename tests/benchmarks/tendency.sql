-- Functions of one connection that fill a migrated database with drivers and their segments for T14 (see tendency.py).

-- Twenty sites in four zones and ten regions, a thousand stations.
create function pg_temp.seed_places() returns void language sql as $$
    set constraints all deferred;

    insert into provider (id, name, psp_accounts, terms_version, created_at) values ('bench', 'Bench', '{}', 1, now());
    insert into provider_terms (provider_id, version, operator_bp, created_at) values ('bench', 1, 1000, now());

    insert into site (id, provider_id, name, time_zone, region, created_at)
    select 'site-' || n, 'bench', 'Site ' || n,
        (array['Asia/Seoul', 'Asia/Tokyo', 'Europe/Berlin', 'America/New_York'])[1 + n % 4], 'region-' || n % 10, now()
    from generate_series(0, 19) n;

    insert into station (id, kind, provider_id, site_id, created_at)
    select 'T14-' || n, 'charger', 'bench', 'site-' || n % 20, now() from generate_series(0, 999) n;
$$;

create function pg_temp.seed_drivers(drivers integer) returns void language sql as $$
    insert into driver (id, created_at, vehicle_class)
    select 'driver-' || lpad(n::text, 6, '0'), now(), (array[null, 'car', 'van', 'scooter'])[1 + n % 4]
    from generate_series(0, drivers - 1) n
$$;

-- The sessions number `first` to `last` (of `sessions` in 56 days) of every driver, of `quarters` segments each. All
-- drivers' first sessions come before all second ones, so rows lie on the disk by time, as in use. A driver uses one
-- station for half of the sessions and five others.
create function pg_temp.seed_segments(
    drivers integer, first integer, last integer, sessions integer, quarters integer, until timestamptz)
returns void language sql as $$
    insert into usage_segment (driver_id, at, session_id, station_id, wh, seconds, cheap)
    select 'driver-' || lpad(d::text, 6, '0'), s.at + q * interval '15 minutes', s.id, s.station,
        200 + (d * 37 + n * 101 + q * 13) % 5000, 900, case d % 3 when 0 then null else (d + n) % 4 = 0 end
    from generate_series(first, last) n
    cross join generate_series(0, drivers - 1) d
    cross join lateral (
        select until - interval '56 days' + interval '56 days' / sessions * n
                + date_trunc('hour', interval '56 days' / sessions * ((d * 7919) % 1000 / 1000.0)) as at,
            md5(d || ' ' || n)::uuid as id,
            'T14-' || (d * 31 + case when n % 2 = 0 then 0 else n % 5 end * 17) % 1000 as station) s
    cross join generate_series(0, quarters - 1) q
$$;
