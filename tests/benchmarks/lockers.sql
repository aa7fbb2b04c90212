-- Functions of one connection that add cabinets to the world of seed.sql (see lockers.py).

-- Cabinets LOCKER-00000 and up with their doors and portable chargers; the drivers of the same numbers are those of seed.sql.
create function pg_temp.seed_lockers(cabinets integer, doors integer, items integer) returns void language sql as $$
    insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
    values (
        'lend', 1, 'bench', 'KRW',
        '{"country_code": "KR", "party_id": "BEN", "id": "lend", "currency": "KRW", "tax_included": "YES",
          "elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1}]}],
          "extra": {
            "held_time": {"tiers": [{"from": 0, "fee": 165}, {"from": 1800, "fee": 360}, {"from": 86400, "fee": 900}]},
            "late": {"tiers": [{"from": 0, "fee": 0}, {"from": 1, "fee": 1000}]},
            "deposit": 20000, "due_after": 86400, "grace": 1800, "free_within": 0},
          "last_updated": "2026-11-20T00:00:00Z"}',
        10000, now());

    insert into station (id, kind, provider_id, site_id, tariff_id, credential, created_at)
    select 'LOCKER-' || lpad(n::text, 5, '0'), 'locker', 'bench', 'bench', 'lend', credential, now()
    from generate_series(0, cabinets - 1) n
    cross join (select credential from station where id = 'BENCH-00000') known;

    insert into connector (station_id, number, kind)
    select 'LOCKER-' || lpad(n::text, 5, '0'), unit, 'door'
    from generate_series(0, cabinets - 1) n, generate_series(1, doors) unit;

    insert into item (code, kind, type, provider_id, place, at, key, version, created_at)
    select 'PC-' || lpad(n::text, 5, '0') || '-' || lpad(unit::text, 2, '0'), 'portable', 'p1', 'bench', 'unknown',
        now() - interval '1 day', '', 1, now()
    from generate_series(0, cabinets - 1) n, generate_series(1, items) unit;

    insert into station (id, kind, provider_id, site_id, tariff_id, portable, created_at)
    select code, 'charger', 'bench', 'bench', 'bench', true, now()
    from item;

    insert into connector (station_id, number, kind)
    select code, 1, 'portable'
    from item;
$$;
