"""Every invariant of `db/checks` is silent over good books and speaks when its own kind of error is planted."""

from __future__ import annotations

from typing import Any

import pytest

from csms import db
from csms.flows import parties
from tests.api.books import a_day, a_hosted_charge, settled
from tests.api.offered import bazaar
from tests.api.plaza import plaza
from tests.flows import lending, swaps
from tests.flows.voucher_shop import sell
from tests.make import ANN, Told, after, ended, seed, started

PLANTED: dict[str, str] = {
    "trial_balance": "update guarded_account set balance = balance + 1 where address = 'driver:ann:balance'",
    "guarded_balances": "delete from guarded_account where address = 'driver:ann:balance'",
    "postings_whole": "delete from posting where kind = 'hold'",
    "rounding": "insert into transfer (posting_id, seq, debit, credit, asset, amount)"
    " select id, 99, 'rounding', 'bank', 'KRW', 1 from posting limit 1",
    "holds_of_open_sessions": "update session set state = 'invalid' where ref = 'running'",
    "sessions_billed": "delete from bill where energy_wh = 0",
    "bills_as_sessions": "update session set energy_wh = energy_wh + 1 where ref = 'paid'",
    "session_energy": "update session set meter_end_wh = meter_end_wh + 1 where ref = 'paid'",
    "bill_shares": "update bill set operator_minor = operator_minor - 1, provider_minor = provider_minor + 1"
    " where means = 'balance' and total_minor > 0",
    "bill_lines": "update bill set lines = '[]' where total_minor > 0",
    "bills_posted": "update transfer set credit = 'provider:Q:payable' where credit = 'provider:P:payable'",
    "payees_got_their_bills": "delete from bill where means = 'psp'",
    "ended_sessions_settled": "delete from exception",
    "jobs_listed": "update outbox set state = 'given_up' where kind = 'psp.settle'",
    "fees_collected": "update outbox set state = 'waiting' where kind = 'psp.collect'",
    "shares_remitted": "update remittance_item set amount_minor = amount_minor - 1",
    "authorizations_used": "update psp_authorization set state = 'authorized'",
    "statements_add_up": "delete from statement_bill where paid_by = 'run'",
    "statement_bills": "update statement_bill set paid_by = 'psp' where paid_by = 'run'",
    "remittances_posted": "update remittance set amount_minor = amount_minor + 1",
    "payments_refunded": "update payment set refunded_minor = refunded_minor - 1 where refunded_minor > 0",
    "chargebacks_posted": "delete from chargeback",
    "tax_invoice_numbers": "update tax_invoice set number = number + 1",
    "refunds_on_their_way": "insert into transfer (posting_id, seq, debit, credit, asset, amount)"
    " select id, 98, 'bank', 'psp:social:refunds', 'KRW', 1 from posting limit 1",
    "audit_chain": "update audit_head set n = n + 1",
    "credits_within_charges": "update bill set kind = 'credit', corrects = id, energy_wh = -energy_wh,"
    " seconds = -seconds, total_minor = -total_minor, vat_minor = -vat_minor, not_charged_minor = -not_charged_minor,"
    " operator_minor = -operator_minor, operator_vat_minor = -operator_vat_minor, provider_minor = -provider_minor"
    " where total_minor > 0",
    "top_ups_paid": "select post(array[(gen_random_uuid(), 'top-up/cash/x', 'top_up', 'ann', now())]::posting_in[],"
    " array[(1, 1, 'psp:cash:clearing', 'driver:ann:balance', 'KRW', 5)]::transfer_in[])",
    "token_spendings": "insert into token_spending select key, 'day', 'KRW', '2026-01-01', -1 from token limit 1",
    "tokens_spent_once": "update token set session_id = gen_random_uuid() where session_id is not null",
}
"""What is done to the books behind the road's back, by the check that must see it."""

PLANTED_WITH_A_HOST: dict[str, str] = {
    "bill_shares": "update bill set host_minor = host_minor - 1, provider_minor = provider_minor + 1",
    "bills_posted": "update transfer set credit = 'site:other:payable' where credit = 'site:site:payable'",
    "payees_got_their_bills": "insert into transfer (posting_id, seq, debit, credit, asset, amount)"
    " select posting_id, 90, debit, credit, asset, 1 from transfer where credit = 'site:site:payable'",
    "credits_within_charges": "insert into bill (id, session_id, revision, station_id, site_id, provider_id, tariff_id,"
    " tariff_version, terms_version, means, currency, started_at, ended_at, energy_wh, seconds, total_minor, vat_minor,"
    " not_charged_minor, operator_minor, operator_vat_minor, provider_minor, host_minor, lines, flags, issued_at, kind,"
    " corrects) select gen_random_uuid(), session_id, 2, station_id, site_id, provider_id, tariff_id, tariff_version,"
    " terms_version, means, currency, started_at, ended_at, 0, 0, -301, 0, 0, 0, 0, 0, -301, '[]', '{}', issued_at,"
    " 'credit', id from bill",
    "shares_remitted": "update remittance_item set amount_minor = amount_minor - 300 where payee = 'operator'",
}
"""What is done to the books of a charge with the electricity of a host, by the check that minds the third payee."""

PLANTED_AT_CABINETS: dict[str, str] = {
    "rentals_settled": "update rental set state = 'closed' where state = 'active'",
    "items_in_custody": "update rental set state = 'cancelled' where state = 'active'",
    "doors_open_by_grants": "update door set reserved_for = (select id from rental where state = 'active')"
    " where station_id = 'C2' and unit = 1",
}
"""Likewise, where items are lent."""

PLANTED_AT_BATTERY_STATIONS: dict[str, tuple[str, ...]] = {
    "vouchers_drawn": (
        "update voucher set used = used + 1",
        "update voucher set released_minor = released_minor - 1",
        "delete from voucher_use",
        "update guarded_account set balance = balance - 1 where address like 'voucher:%:wh'",
        "update guarded_account set balance = 0 where address like 'voucher:%:deferred'",
        "update voucher set state = 'refunded'",
        "delete from voucher",
    ),
    "gifts_funded": ("update voucher set funded_by = 'operator:campaigns'",),
    "swaps_settled": (
        "update swap set ended_at = null where rid = 7",
        "update swap set state = 'releasing', ended_at = null, rentals_out = '{}' where rid = 7",
        "update rental set taken_at = null where swap_id = (select id from swap where rid = 7)",
        "delete from bill",
    ),
    "doors_open_by_grants": ("update door set reserved_for = (select id from swap where rid = 7) where unit = 1",),
    "packs_known": ("delete from pack where code = 'b5'", "update item set kind = 'portable' where code = 'b5'"),
    "swaps_bill_once": ("update swap set rentals_in = (select rentals_in from swap where rid = 7)",),
}
"""Likewise, where packs are exchanged: every kind of error that a check must see."""

PLANTED_WITH_OFFERS: dict[str, tuple[str, ...]] = {
    "offers_kept": (
        "update voucher_offer set price_minor = price_minor + 1 where voucher_id is not null",
        "update voucher_inquiry set driver_id = 'bob'",
        "update payment set amount_minor = amount_minor - 1",
        "delete from payment",
    ),
    "offers_counted": (
        "delete from voucher_offered where taken = 0",
        "update voucher_offered set offered = offered + 1",
        "insert into voucher_offer select gen_random_uuid(), inquiry_id, 9, product_id, product_version, price_minor,"
        " currency, expected_minor, worst_minor, gain, recommended, windows from voucher_offer"
        " where voucher_id is null",
        "update voucher_offered set taken = taken - 1 where taken > 0",
        "update voucher_offer set voucher_id = null",
        "delete from voucher_offer where voucher_id is not null",
        "update voucher_offered set provider_id = 'P'",
    ),
}
"""Likewise, where vouchers are offered, at two times, and one is paid through a psp."""

PLANTED_WITH_CONDITIONS: dict[str, tuple[str, ...]] = {
    "vouchers_where_they_count": (
        "update session set site_tags = '{fast}'",
        "update session set token_key = sha256('another')",
        "update session set stands_for = sha256('another')",
        "update voucher set token_key = null",
    ),
}
"""Likewise, where a voucher counts at sites with a tag, for one vehicle."""


async def test_good_books_pass_every_check(conn: Any, dsn: str) -> None:
    sessions = await a_day(conn, dsn)
    states = {row["ref"]: row["state"] for row in await conn.fetch("select ref, state from session")}
    assert states == {
        "paid": "completed", "idle": "completed", "social": "completed", "odd": "review", "running": "active",
    }  # fmt: skip
    assert len(sessions) == 5
    assert await conn.fetchval("select array_agg(total_minor order by total_minor) from bill") == [0, 1500, 3000]
    assert await db.check(conn) == {}


async def test_an_empty_system_passes_every_check(conn: Any) -> None:
    assert await db.check(conn) == {}


def test_every_check_has_its_planted_error() -> None:
    planted = PLANTED.keys() | PLANTED_AT_CABINETS.keys() | PLANTED_AT_BATTERY_STATIONS.keys()
    assert planted | PLANTED_WITH_OFFERS.keys() | PLANTED_WITH_CONDITIONS.keys() == db.checks().keys()


@pytest.fixture
async def books(conn: Any, dsn: str) -> Any:
    """The good books, with triggers off, as for somebody who edits tables by hand."""
    await a_day(conn, dsn)
    await settled(conn)
    await conn.execute("set session_replication_role = replica")
    return conn


async def test_each_planted_error_is_found_by_its_check(books: Any) -> None:
    for name, statement in PLANTED.items():
        planting = books.transaction()
        await planting.start()
        changed = await books.execute(statement)
        assert not changed.endswith(" 0"), name
        rows = await db.checks()[name].many(books)
        assert rows, f"{name} did not see: {statement}"
        await planting.rollback()
    assert await db.check(books) == {}


@pytest.mark.parametrize("name", PLANTED_AT_CABINETS)
async def test_each_error_planted_at_cabinets_is_found_by_its_check(conn: Any, dsn: str, name: str) -> None:
    await lending.build(conn)
    async with Told(dsn) as road:
        await lending.begin(road)
        await lending.take(road, after(1))
    assert await db.check(conn) == {}
    await conn.execute("set session_replication_role = replica")
    await conn.execute(PLANTED_AT_CABINETS[name])
    assert await db.checks()[name].many(conn)


async def test_each_error_planted_at_battery_stations_is_found_by_its_check(conn: Any, dsn: str, pool: db.Pool) -> None:
    async with plaza(dsn, pool) as town:
        await town.sell()
        bought = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"})
        assert bought.status == 201, bought.body
        mine = await town.pack()
        town.later(60)
        answer = await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
        out = await conn.fetchval("select packs_out[1] from swap where rid = 7")
        await town.told("out", 7, {answer.units_out[0]: swaps.state(out)})
    await _are_found(conn, PLANTED_AT_BATTERY_STATIONS)


async def test_each_error_planted_with_offers_is_found_by_its_check(conn: Any, dsn: str, pool: db.Pool) -> None:
    async with bazaar(dsn, pool) as town:
        await town.offer("bob")
        town.later(15)
        offer = await town.offer()
        assert (await town.buy(offer["offer"], pay={"psp": "social", "token": "token-of-ann"})).status == 201
    await _are_found(conn, PLANTED_WITH_OFFERS)


async def test_each_error_planted_with_conditions_is_found_by_its_check(conn: Any, dsn: str) -> None:
    await seed(conn)
    await parties.change_site(conn, "site", {"tags": ["depot", "fast"]})
    await sell(conn, conditions={"tags": ["depot"], "sites": ["elsewhere"], "vehicle": True}, vehicle=ANN)
    await sell(conn, conditions={"stations": ["S2"]})
    async with Told(dsn) as road:
        await road.tell(started())
        await road.tell(ended())
    assert await conn.fetchval("select count(*) from voucher_use") == 1
    await _are_found(conn, PLANTED_WITH_CONDITIONS)


async def _are_found(conn: Any, planted: dict[str, tuple[str, ...]]) -> None:
    await conn.execute("set session_replication_role = replica")
    for name, statements in planted.items():
        for statement in statements:
            planting = conn.transaction()
            await planting.start()
            changed = await conn.execute(statement)
            assert not changed.endswith(" 0"), statement
            assert await db.checks()[name].many(conn), f"{name} did not see: {statement}"
            await planting.rollback()
    assert await db.check(conn) == {}


async def test_what_is_planted_about_a_host_is_found_by_its_check(conn: Any, dsn: str) -> None:
    await a_hosted_charge(conn, dsn)
    assert await conn.fetchval("select host_minor from bill") == 300
    assert await db.check(conn) == {}
    await conn.execute("set session_replication_role = replica")
    for name, statement in PLANTED_WITH_A_HOST.items():
        planting = conn.transaction()
        await planting.start()
        changed = await conn.execute(statement)
        assert not changed.endswith(" 0"), name
        assert await db.checks()[name].many(conn), f"{name} did not see: {statement}"
        await planting.rollback()
    assert await db.check(conn) == {}


async def test_a_late_end_that_nobody_lists_is_found(books: Any) -> None:
    await books.execute("update session set state = 'incomplete', ended_at = opened_at where ref = 'paid'")
    found = await db.checks()["ended_sessions_settled"].many(books)
    assert [row["state"] for row in found] == ["incomplete"]


async def test_a_payee_paid_without_a_bill_is_found(books: Any) -> None:
    await books.execute(
        "insert into transfer (posting_id, seq, debit, credit, asset, amount)"
        " select id, 90, 'session:x:held', 'operator:fee', 'KRW', 5 from posting limit 1"
    )
    found = await db.checks()["payees_got_their_bills"].many(books)
    assert [(row["address"], row["got"] - row["billed"]) for row in found] == [("operator:fee", 5)]
