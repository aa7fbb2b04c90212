-- Functions of one connection that fill a migrated database for the load (see seed.py).

-- Stations BENCH-00000 and up, each with an outlet, a driver of the same number and that driver's token.
create function pg_temp.seed_stations(stations integer, credential bytea) returns void language sql as $$
    set constraints all deferred;

    insert into provider (id, name, psp_accounts, terms_version, created_at)
    values ('bench', 'Bench Charging', '{}', 1, now());

    insert into provider_terms (provider_id, version, operator_bp, created_at)
    values ('bench', 1, 1000, now());

    insert into site (id, provider_id, name, time_zone, created_at)
    values ('bench', 'bench', 'Bench', 'Asia/Seoul', now());

    insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
    values (
        'bench', 1, 'bench', 'KRW',
        '{"country_code": "KR", "party_id": "BEN", "id": "bench", "currency": "KRW", "tax_included": "YES",
          "elements": [{"price_components": [
            {"type": "FLAT", "price": 500, "vat": 10, "step_size": 1},
            {"type": "ENERGY", "price": 320.5, "vat": 10, "step_size": 1},
            {"type": "TIME", "price": 60, "vat": 10, "step_size": 1}]}],
          "last_updated": "2026-11-20T00:00:00Z"}',
        30000, now());

    insert into station (id, kind, provider_id, site_id, tariff_id, credential, created_at)
    select 'BENCH-' || lpad(n::text, 5, '0'), 'charger', 'bench', 'bench', 'bench', seed_stations.credential, now()
    from generate_series(0, stations - 1) n;

    insert into connector (station_id, number, kind, max_power_w)
    select 'BENCH-' || lpad(n::text, 5, '0'), 1, 'outlet', 350000
    from generate_series(0, stations - 1) n;

    insert into driver (id, name, created_at)
    select 'bench-' || n, 'Bench ' || n, now()
    from generate_series(0, stations - 1) n;

    insert into token (key, value, type, driver_id, created_at)
    select sha256(convert_to(text, 'UTF8')), text, 'rfid', 'bench-' || n, now()
    from generate_series(0, stations - 1) n
    cross join lateral (select '04C0DE' || upper(lpad(to_hex(n), 8, '0'))) uid (text);
$$;

-- Money for the drivers of these numbers; answers how many postings were refused.
create function pg_temp.seed_balances(ids uuid[], numbers integer[], minor bigint) returns bigint language sql as $$
    select count(*)
    from unnest(post(
        (select array_agg((id, 'seed/' || n, 'seed', 'driver/bench-' || n, now())::posting_in order by place)
         from unnest(ids, numbers) with ordinality s (id, n, place)),
        (select array_agg((place, 0, 'bank', 'driver:bench-' || n || ':balance', 'KRW', minor)::transfer_in order by place)
         from unnest(ids, numbers) with ordinality s (id, n, place)))) answer
    where answer <> 'posted';
$$;
