"""Social tokens: a start waits for its psp, once and alone; what comes late, twice or never moves no money."""

from __future__ import annotations

from typing import Any

import pytest

from csms import db
from csms.domain.world import Rules
from tests import make
from tests.make import SUE, Told, ended, metered, presented, started, verdict


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


async def states(conn: Any) -> list[str]:
    return [row["state"] for row in await conn.fetch("select state from psp_authorization order by asked_at, id")]


async def settled(told: Told, *events: Any) -> list[Any]:
    """Sends the events and lets the road run until it has nothing left, without waiting for their answers."""
    futures = [told.send(event) for event in events]
    await told.tell(metered("nobody", session_id=None, connector=None))
    return futures


async def test_a_start_that_waits_for_its_psp_is_answered_once_by_the_verdict(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        (start,) = await settled(told, started(token=SUE))
        assert not start.done()
        assert await conn.fetchval("select state from session") == "pending"
        await told.tell(verdict(told.asks[0]))
        assert start.result().status == "accepted"
        outcome = (await told.tell(ended()))[0]

    assert outcome.fee_minor == 3000
    assert await states(conn) == ["used"]
    assert [tuple(row) for row in await conn.fetch("select kind, key from outbox")] == [
        ("psp.collect", f"session/{await conn.fetchval('select id from session')}/collect")
    ]


async def test_while_one_station_waits_another_is_served(dsn: str) -> None:
    async with Told(dsn) as told:
        (start,) = await settled(told, started(token=SUE))
        other = (await told.tell(started("r2", station_id="S2")))[0]
        assert other.status == "accepted"
        assert not start.done()
        await told.tell(verdict(told.asks[0], "declined"))
        assert start.result().status == "invalid"


async def test_authorize_asks_and_the_start_behind_it_uses_the_answer(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        asked = await settled(told, presented(SUE), presented(SUE))
        await told.tell(verdict(told.asks[0]))
        assert [future.result().status for future in asked] == ["accepted", "accepted"]
        start = (await told.tell(started(token=SUE)))[0]

    assert start.status == "accepted"
    assert len(told.asks) == 1
    assert await states(conn) == ["used"]


async def test_a_refused_person_leaves_no_session_and_a_start_sent_all_the_same_is_invalid(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        (asked,) = await settled(told, presented(SUE))
        await told.tell(verdict(told.asks[0], "declined"))
        assert asked.result().status == "invalid"
        assert await conn.fetchval("select count(*) from session") == 0
        (start,) = await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[1], "declined"))
        assert start.result().status == "invalid"
        await told.tell(ended())

    assert await conn.fetchval("select state from session") == "invalid"
    assert await conn.fetchval("select count(*) from bill") == 0
    assert await conn.fetchval("select count(*) from posting where kind <> 'top_up'") == 0


async def test_an_approval_after_its_time_ran_out_is_voided_and_the_session_stays_invalid(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        (start,) = await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[0], "timed_out"))
        assert start.result().status == "invalid"
        late = verdict(told.asks[0])
        await told.tell(late, late)
        await told.tell(late)

    assert await conn.fetchval("select state from session") == "invalid"
    assert await states(conn) == ["voiding"]
    assert [row["kind"] for row in await conn.fetch("select kind from outbox")] == ["psp.void"]


async def test_a_start_repeated_while_its_psp_is_slow_joins_the_same_ask(dsn: str, conn: Any) -> None:
    again = started(token=SUE)
    async with Told(dsn) as told:
        starts = await settled(told, again, again)
        starts += await settled(told, again)
        await told.tell(verdict(told.asks[0]))
        assert [future.result().status for future in starts] == ["accepted"] * 3

    assert len(told.asks) == 1
    assert await conn.fetchval("select count(*) from session") == 1


async def test_a_retry_after_a_restart_asks_again_under_the_same_id(dsn: str) -> None:
    again = started(token=SUE)
    async with Told(dsn) as told:
        await settled(told, again)
        first = told.asks[0]
    async with Told(dsn) as told:
        (start,) = await settled(told, again)
        assert told.asks == [first]
        await told.tell(verdict(first))
        assert start.result().status == "accepted"


async def test_an_end_before_the_verdict_is_answered_at_once_and_billed_by_the_verdict(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, started(token=SUE))
        end = (await told.tell(ended()))[0]
        assert (end.status, end.fee_minor) == ("accepted", None)
        assert await conn.fetchval("select state from session") == "incomplete"
        await told.tell(verdict(told.asks[0]))

    assert await conn.fetchval("select total_minor from bill") == 3000
    assert await conn.fetchval("select count(*) from outbox where kind = 'psp.collect'") == 1


async def test_a_person_who_is_accepted_for_the_first_time_becomes_a_driver_once(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[0], driver_id="first"))
        await told.tell(ended())
        await conn.execute("update token set session_id = null")
        await settled(told, started("r2", token=SUE, connector=2))
        await told.tell(verdict(told.asks[1], driver_id="second"))

    drivers = await conn.fetch("select driver_id from driver_identity where subject = 'sue'")
    assert [row["driver_id"] for row in drivers] == ["first"]
    assert await conn.fetchval("select count(distinct driver_id) from session") == 1


async def test_a_single_use_token_starts_one_session_and_no_second(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[0]))
        second = (await told.tell(started("r2", token=SUE, connector=2)))[0]

    assert (second.status, second.reason) == ("concurrent", "token_used")
    assert await conn.fetchval("select state from session where ref = 'r2'") == "invalid"


async def test_no_energy_lets_the_psp_release_its_hold(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[0]))
        await told.tell(ended(wh=1000))

    assert [row["kind"] for row in await conn.fetch("select kind from outbox")] == ["psp.void"]
    assert await conn.fetchval("select total_minor from bill") == 0


async def test_charge_after_is_not_capped_by_what_was_probed(dsn: str, conn: Any) -> None:
    async with Told(dsn, Rules(policies={"social": "charge_after"})) as told:
        await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[0]))
        outcome = (await told.tell(ended(minutes=600, wh=151_000)))[0]

    assert outcome.fee_minor == 45_000
    assert await conn.fetchval("select hold_minor from session") == 0


async def test_an_authorization_not_used_in_time_is_voided_and_the_start_asks_anew(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, presented(SUE))
        await told.tell(verdict(told.asks[0]))
        late = make.after(20)
        (start,) = await settled(told, started(token=SUE, at=late))
        assert len(told.asks) == 2
        await told.tell(verdict(told.asks[1]))
        assert start.result().status == "accepted"

    assert sorted(await states(conn)) == ["used", "voiding"]


OTHER_CURRENCY = """
    insert into tariff (id, version, provider_id, currency, document, hold_minor, created_at)
    select 'T', 2, 'P', 'USD', jsonb_set(document, '{currency}', '"USD"'), 5000, now() from tariff"""


async def test_what_was_authorized_in_one_currency_pays_nothing_in_another(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, presented(SUE))
        await told.tell(verdict(told.asks[0]))
        await conn.execute(OTHER_CURRENCY)
        (start,) = await settled(told, started(token=SUE))
        assert [ask.currency for ask in told.asks] == ["KRW", "USD"]
        await told.tell(verdict(told.asks[1]))
        assert start.result().status == "accepted"

    assert sorted(await states(conn)) == ["used", "voiding"]
    assert await conn.fetchval("select currency from session") == "USD"


async def test_a_start_that_finds_an_ask_in_another_currency_is_refused(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await settled(told, presented(SUE))
        await conn.execute(OTHER_CURRENCY)
        outcome = (await told.tell(started(token=SUE)))[0]
        await told.tell(verdict(told.asks[0]))

    assert (outcome.status, outcome.reason) == ("invalid", "no_tariff")
    assert await states(conn) == ["authorized"], "the timers give it back"


async def test_no_more_is_taken_than_a_psp_holds_also_when_the_start_turns_out_to_be_of_offline_times(
    dsn: str, conn: Any
) -> None:
    async with Told(dsn) as told:
        await settled(told, make.authorized(token=SUE))
        await told.tell(verdict(told.asks[0]))
        await told.tell(started(token=SUE, offline=True))
        outcome = (await told.tell(ended(minutes=600, wh=151_000)))[0]

    assert outcome.fee_minor == 30_000
    assert await conn.fetchval("select not_charged_minor from bill") == 15_000


async def test_a_social_session_that_began_offline_is_billed_without_an_ask(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        outcomes = await told.tell_apart([started(token=SUE, offline=True), ended(offline=True)])

    assert told.asks == []
    assert outcomes[1].fee_minor == 3000
    assert await conn.fetchval("select count(*) from outbox where kind = 'psp.collect'") == 1
    assert await db.check(conn) == {}


async def test_a_station_that_charges_on_without_a_payer_is_told_with_every_reading(dsn: str) -> None:
    async with Told(dsn) as told:
        (start,) = await settled(told, started(token=SUE))
        await told.tell(verdict(told.asks[0], "timed_out"))
        reading = (await told.tell(metered()))[0]

    assert start.result().status == "invalid"
    assert (reading.status, reading.ref) == ("invalid", "r1")
