"""The batch road on a real database: what is reported is stored, billed once, and answered after the commit."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from prometheus_client import REGISTRY

from csms import db
from csms.domain.events import ConnectorReported, Unreadable
from tests import make
from tests.make import Told, ended, metered, started


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def money(conn: Any) -> dict[str, int]:
    rows = await conn.fetch("select address, balance from account_balance where balance <> 0 order by address")
    return {row["address"]: row["balance"] for row in rows}


async def left_by(conn: Any, ref: str) -> list[tuple[Any, ...]]:
    """Everything that a session left and that must not depend on the order or repetition of its reports."""
    session = await conn.fetchrow("select * from session where ref = $1", ref)
    bill = await conn.fetchrow("select * from bill where session_id = $1", session["id"])
    transfers = await conn.fetch(
        "select p.kind, t.seq, replace(t.debit, p.ref, 'ID'), replace(t.credit, p.ref, 'ID'), t.amount"
        " from transfer t join posting p on p.id = t.posting_id where p.ref = $1 order by 1, 2",
        str(session["id"]),
    )
    readings = await conn.fetch(
        "select at, digest, register_wh from reading where session_id = $1 order by 1, 2", session["id"]
    )
    fixed = ("state", "energy_wh", "fee_minor", "hold_minor", "started_at", "ended_at", "driver_id", "flags")
    priced = ("total_minor", "vat_minor", "operator_minor", "energy_wh", "seconds", "lines")
    return [
        tuple(session[name] for name in fixed),
        tuple(bill[name] for name in priced),
        *(tuple(row) for row in (*transfers, *readings)),
    ]


async def test_a_charge_from_the_balance_is_held_billed_split_and_the_rest_given_back(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        first, *_, last = await told.tell_apart([started(), metered(), ended()])

    assert (first.status, first.ref) == ("accepted", "r1")
    assert (last.status, last.fee_minor, last.currency) == ("accepted", 3000, "KRW")
    assert await money(conn) == {
        "driver:ann:balance": 47_000,
        "operator:fee": 273,
        "provider:P:payable": 2_700,
        "psp:social:clearing": -50_000,
        "vat:output": 27,
    }
    bill = await conn.fetchrow("select * from bill")
    assert (bill["energy_wh"], bill["total_minor"], bill["vat_minor"]) == (10_000, 3_000, 273)


async def test_while_a_session_runs_its_hold_is_set_aside(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell(started())

    session_id = await conn.fetchval("select id from session")
    balances = await money(conn)
    assert balances["driver:ann:balance"] == 20_000
    assert balances[f"session:{session_id}:held"] == 30_000


@pytest.mark.parametrize("batched", [False, True])
async def test_every_report_three_times_in_any_order_leaves_the_same_bill_and_transfers(
    dsn: str, conn: Any, batched: bool
) -> None:
    await make.fund(conn, "ann", 10_000_000)
    stories = {}
    for number, order in enumerate(itertools.permutations(range(4))):
        ref = f"r{number}"
        story = [started(ref), metered(ref, 15, 3000), metered(ref, 30, 6000), ended(ref)]
        stories[ref] = [story[place] for place in order] + [story[place] for place in reversed(order)] + story

    async with Told(dsn) as told:
        for story in stories.values():
            await (told.tell(*story) if batched else told.tell_apart(story))

    worlds = [await left_by(conn, ref) for ref in stories]
    assert worlds == worlds[:1] * len(worlds)
    assert worlds[0][0][:3] == ("completed", 10_000, 3_000)


async def test_two_reports_of_one_session_in_one_batch_see_each_other(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcomes = await told.tell(started(), metered(), ended(), ended(), started())

    assert [outcome.status for outcome in outcomes] == ["accepted"] * 5
    assert await conn.fetchval("select count(*) from bill") == 1
    assert (await money(conn))["driver:ann:balance"] == 47_000


async def test_nothing_of_a_station_can_be_ended_or_metered_by_another(dsn: str, conn: Any) -> None:
    foreign = {"station_id": "S2", "session_id": None}
    async with Told(dsn) as told:
        await told.tell(started())
        await told.tell(metered(**foreign), ended(station_id="S2", may_open=False))

    assert await conn.fetchval("select state from session where station_id = 'S1'") == "active"
    assert await conn.fetchval("select count(*) from reading") == 0
    parked = await conn.fetch("select station_id, action, reason from parked_report order by action")
    assert [tuple(row) for row in parked] == [
        ("S2", "MeterValues", "unknown_session"),
        ("S2", "StopTransaction", "unknown_session"),
    ]


@pytest.mark.parametrize(
    ("token", "status", "reason"),
    [
        ("DEADBEEF", "invalid", "unknown_token"),
        ("AB10AB10", "blocked", "blocked"),
        ("E0E0E0E0", "blocked", "driver_blocked"),
        ("B0B0B0B0", "no_credit", "no_credit"),
    ],
)
async def test_a_refused_start_is_recorded_as_invalid_and_never_billed(
    dsn: str, conn: Any, token: str, status: str, reason: str
) -> None:
    async with Told(dsn) as told:
        outcome, again, last = await told.tell_apart([started(token=token), started(token=token), ended()])

    assert (outcome.status, outcome.ref, outcome.reason) == (status, "r1", reason)
    assert again == outcome
    assert last.fee_minor is None
    row = await conn.fetchrow("select state, reason, meter_end_wh from session")
    assert tuple(row) == ("invalid", reason, 11_000)
    assert await conn.fetchval("select count(*) from bill") == 0


async def test_a_retried_start_of_ocpp_1_6_gets_the_transaction_id_of_the_first(dsn: str) -> None:
    async with Told(dsn) as told:
        first, second = await told.tell_apart(
            [started("111", start_key="1|A|t|1000"), started("222", start_key="1|A|t|1000")]
        )
        late = (await told.tell(ended("111"), started("333", start_key="1|A|t|1000")))[1]

    assert first.ref == second.ref == late.ref == "111"


async def test_implausible_energy_is_held_for_review_and_the_hold_stays(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(wh=1000 + 600_000)])

    assert await conn.fetchval("select state from session") == "review"
    assert await conn.fetchval("select count(*) from bill") == 0
    assert (await money(conn))["driver:ann:balance"] == 20_000
    assert await conn.fetchval("select kind from exception") == "session_review"


async def test_no_energy_is_no_fee_and_everything_held_goes_back(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcome = (await told.tell_apart([started(), ended(wh=1000)]))[1]

    assert outcome.fee_minor == 0
    assert await money(conn) == {"driver:ann:balance": 50_000, "psp:social:clearing": -50_000}
    assert await conn.fetchval("select total_minor from bill") == 0


async def test_the_fee_never_exceeds_what_was_held(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcome = (await told.tell_apart([started(), ended(minutes=600, wh=1000 + 150_000)]))[1]

    assert outcome.fee_minor == 30_000
    assert await conn.fetchval("select not_charged_minor from bill") == 15_000
    assert (await money(conn))["driver:ann:balance"] == 20_000


async def test_what_began_offline_is_billed_without_being_asked_and_the_rest_is_debt(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcomes = await told.tell_apart([started(token=make.BOB, offline=True), ended()])

    assert outcomes[1].fee_minor == 3000
    balances = await money(conn)
    assert balances["driver:bob:debt"] == -3000
    assert balances["provider:P:payable"] == 2700


async def test_a_second_end_that_differs_raises_a_dispute_and_charges_nothing_more(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(), ended(wh=12_000), ended(wh=13_000)])

    assert await conn.fetchval("select count(*) from bill") == 1
    assert "dispute" in await conn.fetchval("select flags from session")
    assert await conn.fetchval("select count(*) from exception where kind = 'session_dispute'") == 1


async def test_a_new_process_goes_on_where_the_last_one_was_killed(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell(started(), metered())
    async with Told(dsn) as told:
        outcome = (await told.tell_apart([metered(minutes=40, wh=8000), ended()]))[1]

    assert outcome.fee_minor == 3000
    assert await conn.fetchval("select count(*) from reading") == 2


async def test_an_end_without_a_register_is_billed_to_the_last_reading(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcome = (await told.tell_apart([started(), metered(wh=5000), ended(wh=None)]))[2]

    assert outcome.fee_minor == 1200
    assert "end_register_missing" in await conn.fetchval("select flags from session")


@pytest.mark.parametrize("named_at_the_end", [None, 1])
async def test_a_session_whose_start_named_no_connector_is_billed(
    dsn: str, conn: Any, named_at_the_end: int | None
) -> None:
    async with Told(dsn) as told:
        outcome = (await told.tell_apart([started(connector=None), ended(connector=named_at_the_end)]))[1]

    assert outcome.fee_minor == 3000
    assert await conn.fetchval("select count(*) from parked_report") == 0
    power = {None: None, 1: 22_000}[named_at_the_end]
    assert tuple(await conn.fetchrow("select connector, max_power_w from session")) == (named_at_the_end, power)


async def test_the_checks_find_nothing_wrong_after_all_kinds_of_endings(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell(started("a"), metered("a"), ended("a"))
        await told.tell(started("b", token="DEADBEEF"), ended("b"))
        await told.tell(started("c"), ended("c", wh=900_000))
        await told.tell(started("d", token=make.BOB, offline=True), ended("d"))
        await told.tell(ended("e"))

    assert await db.check(conn) == {}


async def test_the_writer_outlives_whatever_breaks_around_a_batch(dsn: str) -> None:
    def broken(ask: object) -> None:
        raise RuntimeError("the asker is broken")

    async with Told(dsn) as told:
        told.road._ask = broken
        told.send(started("s", token=make.SUE))
        outcome = (await told.tell_apart([started("r2", station_id="S2"), ended("r2", station_id="S2")]))[1]

    assert outcome.fee_minor == 3000


async def test_the_transaction_id_an_unreadable_start_was_answered_with_is_kept(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        unreadable = Unreadable("S1", make.NOON, "StartTransaction", "no connector", "[2,...]", make.new_id(), "4711")
        outcome = (await told.tell(unreadable))[0]

    assert (outcome.status, outcome.ref) == ("invalid", "4711")
    assert await conn.fetchval("select answer from parked_report") == "4711"


async def test_a_status_dated_far_ahead_hides_no_later_one(dsn: str, conn: Any) -> None:
    def status(at: Any, word: str, received_at: Any) -> ConnectorReported:
        return ConnectorReported("S1", received_at, at, 1, word, None, None)

    async with Told(dsn) as told:
        await told.tell(status(make.after(10**6), "faulted", make.NOON))
        await told.tell(status(make.after(9), "available", make.after(9)))

    assert await conn.fetchval("select status from connector where station_id = 'S1' and number = 1") == "available"


async def test_a_drawn_transaction_id_that_is_taken_never_makes_a_new_start_a_retry(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started("77", start_key="1|A|1|1000"), ended("77")])
        later = make.after(120)
        second = (await told.tell(started("77", start_key="1|A|2|1000", at=later)))[0]

    assert second.ref not in (None, "77")
    assert await conn.fetchval("select count(*) from session") == 2


async def test_a_parked_end_is_put_on_peoples_list(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([ended("unknown", may_open=False), ended("stranger", may_open=False)])

    listed = await conn.fetch("select kind, station_id, ref from exception")
    assert [tuple(row) for row in listed] == [("report_parked", "S1", "S1/StopTransaction/2026-11-20")]
    assert await conn.fetchval("select count(*) from parked_report") == 2


async def test_a_refusal_is_counted_by_its_reason(dsn: str) -> None:
    def refused() -> float:
        return REGISTRY.get_sample_value("csms_refusals_total", {"reason": "unknown_token"}) or 0

    before = refused()
    async with Told(dsn) as told:
        await told.tell(make.presented("DEADBEEF"), started(token="DEADBEEF"), metered())

    assert refused() - before == 2
