-- Functions of one connection that add battery stations to the world of seed.sql (see swaps.py).

-- Battery stations SWAP-00000 and up with their slots and packs; the riders of the same numbers are the drivers of seed.sql.
create function pg_temp.seed_swaps(stations integer, slots integer, capacity_wh integer) returns void language sql as $$
    insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
    values (
        'swap', 1, 'bench', 'KRW',
        '{"country_code": "KR", "party_id": "BEN", "id": "swap", "currency": "KRW", "tax_included": "YES",
          "elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}],
          "extra": {
            "battery_energy": {"tiers": [{"from": 0, "price": 500}]},
            "deliveries": {"tiers": [{"from": 0, "price": 700}]},
            "free_within": 0},
          "last_updated": "2026-11-20T00:00:00Z"}',
        10000, now());

    insert into station (id, kind, provider_id, site_id, tariff_id, credential, created_at)
    select 'SWAP-' || lpad(n::text, 5, '0'), 'battery_station', 'bench', 'bench', 'swap', credential, now()
    from generate_series(0, stations - 1) n
    cross join (select credential from station where id = 'BENCH-00000') known;

    insert into connector (station_id, number, kind)
    select 'SWAP-' || lpad(n::text, 5, '0'), unit, 'slot'
    from generate_series(0, stations - 1) n, generate_series(1, slots) unit;

    insert into item (code, kind, type, provider_id, place, at, key, version, created_at)
    select 'BAT-' || lpad(n::text, 5, '0') || '-' || lpad(unit::text, 2, '0'), 'battery', 'b1', 'bench', 'unknown',
        now() - interval '1 day', '', 1, now()
    from generate_series(0, stations - 1) n, generate_series(1, slots) unit;

    insert into pack (code, serial, capacity_wh, faults, key, version)
    select 'BAT-' || lpad(n::text, 5, '0') || '-' || lpad(unit::text, 2, '0'),
        'SN' || lpad(n::text, 5, '0') || lpad(unit::text, 2, '0'), seed_swaps.capacity_wh, '{}', '', 1
    from generate_series(0, stations - 1) n, generate_series(1, slots) unit;
$$;
