-- Functions of one connection that fill a migrated database with bills for T10 (see reports.py).

-- Twenty providers, a thousand stations of two outlets, and two tariffs.
create function pg_temp.seed_places() returns void language sql as $$
    set constraints all deferred;

    insert into provider (id, name, psp_accounts, terms_version, created_at)
    select 'p' || n, 'Provider ' || n, '{}', 1, now() from generate_series(0, 19) n;

    insert into provider_terms (provider_id, version, operator_bp, created_at)
    select 'p' || n, 1, 1000, now() from generate_series(0, 19) n;

    insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
    select id, 1, null, 'KRW',
        '{"country_code": "KR", "party_id": "BEN", "id": "t", "currency": "KRW", "tax_included": "YES",
          "elements": [{"price_components": [{"type": "ENERGY", "price": 320, "vat": 10, "step_size": 1}]}],
          "last_updated": "2026-11-20T00:00:00Z"}', 30000, now()
    from (values ('t0'), ('t1')) t (id);

    insert into station (id, kind, provider_id, created_at)
    select 'T10-' || n, 'charger', 'p' || n % 20, now() from generate_series(0, 999) n;

    insert into connector (station_id, number, kind, max_power_w)
    select 'T10-' || n, number, 'outlet', 50000 from generate_series(0, 999) n, generate_series(1, 2) number;
$$;

-- Bills number `first` to before `last` of `whole`, spread evenly over the year before `until`; one in fifty is a credit.
create function pg_temp.seed_bills(first bigint, last bigint, whole bigint, until timestamptz) returns void language sql as $$
    insert into bill (
        id, session_id, station_id, connector, provider_id, driver_id, token_masked, tariff_id, tariff_version,
        terms_version, means, currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor,
        not_charged_minor, operator_minor, operator_vat_minor, provider_minor, lines, flags, issued_at, kind, corrects)
    select id, id, 'T10-' || place, 1 + n % 2, 'p' || place % 20, 'd' || (n * 7919) % 100000, '04A0...F1',
        't' || n % 2, 1, 1, 'balance', 'KRW', at - interval '40 minutes', at, sign * wh, sign * 2400, sign * fee,
        sign * (fee / 11), 0, sign * (fee / 10), sign * (fee / 110), sign * (fee - fee / 10),
        '[{"dimension": "ENERGY", "unit": "kWh", "unit_price": "320", "exact_incl": "3200"}]', '{}', at,
        case sign when 1 then 'charge' else 'credit' end, case sign when -1 then id end
    from generate_series(first, last - 1) n
    cross join lateral (
        select until - interval '365 days' * ((whole - n)::float8 / whole) as at, (n * 7907) % 1000 as place,
            3000 + (n * 31) % 17000 as wh, case when n % 50 = 49 then -1 else 1 end as sign) a
    cross join lateral (select wh * 320 / 1000 as fee, uuidv7(at - now()) as id) b
$$;

-- For each of these bills its session.
create function pg_temp.seed_sessions(since timestamptz) returns void language sql as $$
    insert into session (
        station_id, id, ref, start_key, version, state, day, connector, provider_id, terms_version, tariff_id,
        tariff_version, currency, driver_id, means, offline, started_at, ended_at, energy_wh, fee_minor, opened_at, closed_at)
    select b.station_id, b.session_id, b.session_id::text, b.session_id::text, 3, 'completed', b.started_at::date,
        b.connector, b.provider_id, 1, b.tariff_id, 1, b.currency, b.driver_id, 'balance', false, b.started_at,
        b.ended_at, abs(b.energy_wh), abs(b.total_minor), b.started_at, b.ended_at
    from bill b
    where b.issued_at >= since
$$;

-- And the transfers of its settlement.
create function pg_temp.seed_transfers(since timestamptz) returns void language sql as $$
    insert into posting (id, key, kind, ref, event_at)
    select b.id, 'session/' || b.session_id || '/settle', 'settle', b.session_id::text, b.issued_at
    from bill b
    where b.issued_at >= since;

    insert into transfer (posting_id, seq, debit, credit, asset, amount, at)
    select b.id, part.seq, part.debit, part.credit, 'KRW', part.amount, b.issued_at
    from bill b
    cross join lateral (values
        (1, 'bank', 'driver:' || b.driver_id || ':balance', b.total_minor),
        (2, 'driver:' || b.driver_id || ':balance', 'provider:' || b.provider_id || ':payable', b.provider_minor),
        (3, 'driver:' || b.driver_id || ':balance', 'operator:fee', b.operator_minor)
    ) part (seq, debit, credit, amount)
    where b.issued_at >= since
    and part.amount > 0
$$;
