"""Two providers in one system, each with one of everything; and what a stranger may ask for of the other's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from csms.flows import clients
from tests import make

MARK = "foreign"
"""In every name of the other provider's things."""

FOREIGN = """
insert into provider (id, name, psp_accounts, terms_version, created_at)
values ('foreign-p', 'foreign provider', '{"social": "foreign-seller"}', 1, now());
insert into provider_terms (provider_id, version, operator_bp, created_at) values ('foreign-p', 1, 777, now());
insert into site (id, provider_id, name, time_zone, created_at)
values ('foreign-site', 'foreign-p', 'foreign site', 'Asia/Seoul', now());
insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
select 'foreign-tariff', 1, 'foreign-p', currency, document || '{"id": "foreign-tariff"}', hold_minor, now()
from tariff where id = 'T';
insert into station (id, kind, provider_id, site_id, tariff_id, created_at)
values ('foreign-s', 'charger', 'foreign-p', 'foreign-site', 'foreign-tariff', now());
insert into connector (station_id, number, kind, max_power_w)
values ('foreign-s', 1, 'outlet', 22000), ('foreign-s', 2, 'outlet', 22000);
insert into driver (id, name, created_at) values ('foreign-d', 'foreign driver', now());
insert into token (key, value, type, driver_id, created_at)
values (sha256('foreign-token'), 'foreign-token', 'app', 'foreign-d', now());
insert into driver_identity (issuer, subject, driver_id) values ('https://foreign.example', 'foreign', 'foreign-d');
"""

OF_EACH = """
insert into command (id, station_id, action, payload, state, requested_by, created_at)
values (gen_random_uuid(), $1, 'StopSession', '{}', 'answered', 'somebody', now());
insert into parked_report (id, station_id, action, reason, raw, received_at)
values (gen_random_uuid(), $1, 'StartTransaction', 'unreadable', 'text', now());
insert into exception (id, kind, ref, station_id, details, opened_at)
values (gen_random_uuid(), 'session_review', $1, $1, jsonb_build_object('why', $1), now());
insert into payment (id, psp, psp_ref, driver_id, kind, session_id, amount_minor, currency, at)
select gen_random_uuid(), 'social', $1 || '-pay', driver_id, 'session', session_id, 5000, 'KRW', now()
from bill where station_id = $1 limit 1;
insert into refund (id, payment_id, driver_id, session_id, bill_id, amount_minor, currency, psp, reason, asked_at)
select gen_random_uuid(), p.id, p.driver_id, p.session_id, b.id, 100, 'KRW', 'social', $1, now()
from payment p join bill b on b.session_id = p.session_id where p.psp_ref = $1 || '-pay' limit 1;
insert into remittance_item (bill_id, payee, psp, account, amount_minor, currency, state, at)
select id, 'provider:' || provider_id, 'social', $1 || '-account', 1, 'KRW', 'paid', now()
from bill where station_id = $1 limit 1;
insert into statement (id, provider_id, time_zone, from_day, to_day, starts_at, ends_at, drafted_by, drafted_at)
select gen_random_uuid(), provider_id, 'UTC', '2026-10-01', '2026-11-01', '2026-10-01Z', '2026-11-01Z', $1, now()
from station where id = $1;
insert into remittance (id, statement_id, provider_id, currency, amount_minor, state, approved_by, created_at)
select gen_random_uuid(), id, provider_id, 'KRW', 10, 'open', $1, now() from statement where drafted_by = $1;
insert into statement_bill (bill_id, statement_id, provider_id, paid_by, late, issued_at)
select b.id, t.id, b.provider_id, 'run', false, b.issued_at
from statement t join bill b on b.provider_id = t.provider_id where t.drafted_by = $1;
insert into outlet_tag (tag, site_id, created_at) select $1 || '-outlet', site_id, now() from station where id = $1;
insert into meter_key (id, station_id, connector, public_key, curve, created_at)
values (gen_random_uuid(), $1, 1, $1 || '-key', 'secp256r1', now());
insert into webhook_endpoint (id, url, description, provider_id, secrets, created_at)
select gen_random_uuid(), 'https://' || $1 || '.example', $1, provider_id, array['whsec_x'], now()
from station where id = $1;
"""

LENT = """
insert into item (code, kind, type, provider_id, place, rental_id, at, key, version, created_at)
select $1 || '-item', 'battery', 'p1', provider_id, 'driver', gen_random_uuid(), now(), '', 1, now()
from station where id = $1;
insert into pack (code, serial, faults, key, version) values ($1 || '-item', $1 || '-serial', '{}', '', 1);
select ensure_pack_states('2026-11-20');
insert into pack_state (day, code, at, id, source, soc)
values ('2026-11-20', $1 || '-item', '2026-11-20Z', $1, 'terminal', 1);
insert into rental (id, version, state, station_id, unit, provider_id, driver_id, item, requested_at, asked_by, proof,
    taken_at, extensions, outage_s, damage_minor, tries, reminders, flags)
select i.rental_id, 1, 'active', $1, 1, i.provider_id, $2, i.code, now(), $1, 'staff', now(), 0, 0, 0, 1, 0, '{}'
from item i where i.code = $1 || '-item';
insert into door_grant (id, station_id, unit, why, state, rental_id, item, driver_id, issued_at, expires_at, proof,
    by_whom, attempt, version)
select gen_random_uuid(), $1, 1, 'take', 'used', r.id, r.item, $2, now(), now(), 'staff', $1, 1, 1
from rental r where r.asked_by = $1;
insert into cabinet_presence (station_id, methods, secret, latitude, longitude, radius_m, accuracy_m_max, changed_at)
select $1, '{totp}', sha256($1::bytea), p.degrees, p.degrees, 50, 50, now()
from (select case when $1 = 'S1' then 37.5 end as degrees) p;
insert into token (key, type, driver_id, psp, issuer, subject, created_at)
values (sha256(($1 || '-means')::bytea), 'app', $2, 'social', 'https://social.example', $1 || '-subject', now());
insert into payment_means (id, token_key, driver_id, label, created_at)
values (gen_random_uuid(), sha256(($1 || '-means')::bytea), $2, $1, now());
insert into charging_request (rental_id, number, command_id, token_key, item, asked_at)
select id, 1, gen_random_uuid(), sha256($1::bytea), item, now() from rental where asked_by = $1;
insert into presence_use (once, station_id, driver_id, method, request_id, used_at)
select sha256($1::bytea), $1, $2, 'totp', id, now() from rental where asked_by = $1;
insert into slot_rules values ($1, 9000, 7000, 0, 45, 'return');
insert into slot_plan values ($1,
    '{"slots": {}, "refused": {}, "number": 0, "failures": 0, "again_at": null, "epoch": 0}', now());
insert into swap (id, version, station_id, rid, state, driver_id, provider_id, asked_by, proof, wanted, opened_at,
    units_in, packs_in, rentals_in, units_out, packs_out, rentals_out, flags)
select gen_random_uuid(), 1, $1, 1, 'releasing', $2, provider_id, $1, 'staff', 1, now(), '{1}', array[item],
    array[id], '{}', '{}', '{}', '{}'
from rental where asked_by = $1;
insert into pack_reservation (id, version, station_id, driver_id, wanted, days, begins, minutes, from_date, time_zone,
    state, created_at)
values (gen_random_uuid(), 1, $1, $2, 1, 127, 0, 60, '2026-11-20', 'UTC', 'active', now());
insert into voucher_product (id, version, provider_id, name, unit, amount, price_minor, currency, vat_percent,
    valid_days, carry_over, refund, created_at)
select $1 || '-product', 1, provider_id, $1 || ' product', 'wh', 10, 100, 'KRW', 10, 30, false, 'unused', now()
from station where id = $1;
insert into voucher (id, version, driver_id, provider_id, product_id, product_version, unit, total, used, price_minor,
    released_minor, currency, vat_percent, valid_from, valid_until, refund, state, bought_at)
select gen_random_uuid(), 1, $2, provider_id, id, 1, 'wh', 10, 0, 100, 0, 'KRW', 10, now(), now() + interval '30 days',
    'unused', 'active', now()
from voucher_product where id = $1 || '-product';
insert into voucher_use (voucher_id, session_id, revision, units, minor, at)
select v.id, r.id, 1, 1, 10, now() from voucher v, rental r where v.product_id = $1 || '-product' and r.asked_by = $1;
insert into vehicle (id, driver_id, kind, key, masked, vehicle_class, proven_at, proof, created_at)
values (gen_random_uuid(), $2, 'VIN', sha256(($1 || '-vin')::bytea), $1, $1, now(), 'staff', now());
insert into voucher_inquiry (id, driver_id, vehicle_id, station_id, currency, asked_at, valid_until, confidence,
    sessions, days)
select gen_random_uuid(), $2, id, $1, 'KRW', now(), now() + interval '15 minutes', 'low', 0, 0
from vehicle where masked = $1;
insert into voucher_offer (id, inquiry_id, place, product_id, product_version, price_minor, currency, expected_minor,
    worst_minor, gain, recommended, windows)
select gen_random_uuid(), id, 1, $1 || '-product', 1, 100, 'KRW', -100, -100, 0, false, 0
from voucher_inquiry where station_id = $1;
insert into voucher_offered (product_id, product_version, began, provider_id, offered)
select id, version, unit_of('15 minutes', now()), provider_id, 1 from voucher_product where id = $1 || '-product';
insert into voucher_payment (id, offer_id, driver_id, psp, issuer, subject, amount_minor, currency, state, asked_at,
    decided_at, request)
select gen_random_uuid(), o.id, $2, 'social', $1, $1 || '-subject', 100, 'KRW', 'declined', now(), now(), ''
from voucher_offer o where o.product_id = $1 || '-product';
insert into usage_segment (driver_id, at, session_id, station_id, wh, seconds)
values ($2, '2026-11-20Z', gen_random_uuid(), $1, 10, 900);
insert into tendency (driver_id, version, computed_at, sessions, weeks, wh, week_wh_mean, week_wh_median, bands_wh,
    session_wh, session_s, stations, stations_wh, station_count, entropy, power_wh, cheap_wh, priced_wh, swaps, region,
    confidence)
values ($2, 1, now(), 1, 1, 10, 10, 10, '{0,0,10,0,0,0,0,0,0,0,0,0}', '{10,10,10}', '{900,900,900}', array[$1], '{10}',
    1, 0, '{10,0,0}', 0, 0, 1, $1 || '-region', 'low');
insert into cohort (class, region, drivers, median_driver, computed_at)
values ('any', $1 || '-region', 20, $2, now());
insert into voucher_batch (id, product_id, product_version, provider_id, count, funded_by, note, redeem_until,
    created_by, created_at)
select $1 || '-batch', id, version, provider_id, 1, 'provider', $1, now() + interval '1 day', $1, now()
from voucher_product where id = $1 || '-product';
insert into voucher_gift (voucher_id, batch_id, key, bearer, redeemed_at)
select id, $1 || '-batch', sha256(convert_to($1, 'UTF8')), $2, now() from voucher where product_id = $1 || '-product';
"""
"""A pack in a driver's hands, and what belongs to it. A cabinet that is another's is not on the map."""

IDS = {
    "session": "select id from session where station_id = $1 and state = 'completed' order by id limit 1",
    "bill": "select id from bill where station_id = $1 order by id limit 1",
    "command": "select id from command where station_id = $1 limit 1",
    "parked_report": "select id from parked_report where station_id = $1 limit 1",
    "exception": "select id from exception where station_id = $1 limit 1",
    "refund": "select id from refund where reason = $1 limit 1",
    "payment": "select id from payment where psp_ref = $1 || '-pay'",
    "endpoint": "select id from webhook_endpoint where description = $1",
    "settlement": "select id from statement where drafted_by = $1",
    "statement": "select id from statement where drafted_by = $1",
    "remittance": "select id from remittance where approved_by = $1",
    "meter_key": "select id from meter_key where station_id = $1",
    "item": "select code from item where code = $1 || '-item'",
    "rental": "select id from rental where asked_by = $1",
    "means": "select id from payment_means where label = $1",
    "swap": "select id from swap where station_id = $1",
    "reservation": "select id from pack_reservation where station_id = $1",
    "product": "select id from voucher_product where id = $1 || '-product'",
    "batch": "select id from voucher_batch where id = $1 || '-batch'",
    "voucher": "select id from voucher where product_id = $1 || '-product'",
    "vehicle": "select id from vehicle where masked = $1",
}
"""How the ids that were made are found, by the name they have in addresses."""


@dataclass(frozen=True)
class Things:
    """One of everything: what each name in an address is for one of the two, and a session that is running."""

    named: Mapping[str, str]
    running: str


async def two_providers(conn: Any, dsn: str) -> tuple[Things, Things]:
    """Provider P's things and the other's, after a day on the road."""
    await make.seed(conn)
    await conn.execute(FOREIGN)
    await make.fund(conn, "foreign-d", 70_000)
    async with make.Told(dsn) as told:
        for station, token in (("S1", make.ANN), ("foreign-s", "foreign-token")):
            more = {"station_id": station}
            await told.tell(make.started(f"{station}-done", token=token, **more))
            await told.tell(make.metered(f"{station}-done", **more))
            await told.tell(make.ended(f"{station}-done", **more))
            await told.tell(make.started(f"{station}-runs", token=token, at=make.after(90), connector=2, **more))
    own = {"station": "S1", "site": "site", "provider": "P", "tariff": "T", "driver": "ann", "token": make.ANN}
    other = {
        "station": "foreign-s", "site": "foreign-site", "provider": "foreign-p", "tariff": "foreign-tariff",
        "driver": "foreign-d", "token": "foreign-token",
    }  # fmt: skip
    return await _things(conn, own), await _things(conn, other)


async def _things(conn: Any, chosen: dict[str, str]) -> Things:
    station = chosen["station"]
    for statement in OF_EACH.strip().split(";\n"):
        await conn.execute(statement.replace("$1", f"'{station}'"))
    await lend(conn, station, chosen["driver"])
    client, _ = await clients.add_client(conn, ["reports:read"], f"{station}'s", make.NOON, chosen["provider"])
    made = {name: str(await conn.fetchval(query, station)) for name, query in IDS.items()}
    running = await conn.fetchval("select id from session where station_id = $1 and state = 'active'", station)
    chosen = {**chosen, "tag": f"{station}-outlet"}
    address = {"address": f"provider:{chosen['provider']}:payable"}
    return Things({**chosen, **made, **address, "client": client}, str(running))


async def lend(conn: Any, station: str, driver: str) -> None:
    """An item of the station's provider is in the driver's hands."""
    await conn.execute(LENT.replace("$1", f"'{station}'").replace("$2", f"'{driver}'"))


async def fingerprint(conn: Any) -> dict[str, str]:
    """What every table holds, but for what any request leaves: the trail, kept answers, instants of reports."""
    tables = await conn.fetch(
        "select relname from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')"
        " and not relispartition and relname <> all ($1)",
        ["audit_event", "audit_head", "idempotency_key", "report_snapshot"],
    )
    return {
        row["relname"]: await conn.fetchval(
            f"select md5(coalesce(string_agg(t::text, '|' order by t::text), '')) from {row['relname']} t"
        )
        for row in tables
    }
