"""Quirks that move money (quirks Q-M.., Q-T..), told to the road: what each leaves in the ledger, to the entry."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Any, Literal

import pytest

from csms import db
from csms.domain.events import ConnectorMetered, Reading, Signed, StationBooted
from tests import make
from tests.make import Told, after, ended, metered, new_id, started

VERSIONS = ("ocpp1.6", "ocpp2.0.1")
HOLD, SETTLE = ("hold", 1), ("settle", 4)
"""A posting and its transfers: what is set aside; payee, operator, VAT and the rest."""


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


@dataclass(frozen=True)
class Left:
    """What a story left: postings with their number of transfers, the sessions, and what is listed for people."""

    postings: list[tuple[str, int]]
    sessions: list[tuple[str, int | None, int | None]]
    concerns: list[str]
    flags: list[str]
    balance: int


async def left(conn: Any) -> Left:
    """Read it, and check the books."""
    assert await db.check(conn) == {}
    postings = await conn.fetch(
        "select p.kind, count(*) from posting p join transfer t on t.posting_id = p.id where p.kind <> 'top_up'"
        " group by p.id, p.kind order by p.kind"
    )
    sessions = await conn.fetch("select state, energy_wh, fee_minor, flags from session order by opened_at, ref")
    return Left(
        [tuple(row) for row in postings],
        [tuple(row)[:3] for row in sessions],
        [row["kind"] for row in await conn.fetch("select kind from exception order by kind")],
        [flag for row in sessions for flag in row["flags"]],
        await conn.fetchval("select balance from account_balance where address = 'driver:ann:balance'"),
    )


def at_connector(minutes: float, wh: int, connector: int = 1, **fields: Any) -> ConnectorMetered:
    """One reading that names a connector only."""
    at = after(minutes)
    return ConnectorMetered("S1", connector, at, (Reading(at, wh, wh),), False, "[2,...]", **fields)


def signed(
    context: Literal["begin", "end"], wh: int | None, verdict: Literal["valid", "invalid", "no_key"], at: datetime
) -> Signed:
    """A value as the edge judged it."""
    raw = f"OCMF|{context}|{wh}|{verdict}"
    return Signed(context, at, "OCMF", raw, verdict, None, wh, sha256(raw.encode()).digest())


def boot(minutes: float) -> StationBooted:
    """S1 booted."""
    return StationBooted("S1", after(minutes), "V", "M", None, None, "PowerUp")


def versions_of(version: str) -> dict[str, Any]:
    """What an end is like on this version: 2.x may open a session, 1.6 may not."""
    return {"may_open": version != "ocpp1.6"}


@pytest.mark.parametrize("version", VERSIONS)
async def test_q_m05_a_register_that_began_anew_at_a_boot_is_added_up_and_marked(
    dsn: str, conn: Any, version: str
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(), metered(minutes=20, wh=5_000), boot(22), metered(minutes=40, wh=100),
             metered(minutes=50, wh=2_100), ended(wh=3_100, **versions_of(version))]
        )  # fmt: skip
    assert await left(conn) == Left([HOLD, SETTLE], [("completed", 7_000, 2_100)], [], ["estimated"], 47_900)


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_fall_without_a_boot_holds_the_bill_and_the_money(dsn: str, conn: Any, version: str) -> None:
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(), metered(minutes=20, wh=5_000), metered(minutes=30, wh=5_100), metered(minutes=40, wh=100),
             metered(minutes=50, wh=300), ended(wh=400, **versions_of(version))]
        )  # fmt: skip
    assert await left(conn) == Left([HOLD], [("review", None, None)], ["session_review"], ["register_dropped"], 20_000)


@pytest.mark.parametrize("version", VERSIONS)
async def test_an_end_below_a_reading_is_never_billed_low_in_silence(dsn: str, conn: Any, version: str) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), metered(minutes=30, wh=9_000), ended(wh=2_000, **versions_of(version))])
    assert await left(conn) == Left(
        [HOLD], [("review", None, None)], ["session_review"], ["end_below_readings"], 20_000
    )


@pytest.mark.parametrize("version", VERSIONS)
async def test_q_m07_dropouts_change_nothing(dsn: str, conn: Any, version: str) -> None:
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(), metered(minutes=20, wh=5_000), metered(minutes=30, wh=0), metered(minutes=40, wh=None),
             metered(minutes=50, wh=9_000), ended(**versions_of(version))]
        )  # fmt: skip
    assert await left(conn) == Left([HOLD, SETTLE], [("completed", 10_000, 3_000)], [], ["register_gap"], 47_000)


@pytest.mark.parametrize("version", VERSIONS)
async def test_q_m03_readings_of_the_session_beside_a_lifetime_register_bill_the_lifetime_register(
    dsn: str, conn: Any, version: str
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(meter_wh=4_076_000), metered(minutes=20, wh=0), metered(minutes=40, wh=6_000),
             ended(wh=4_086_000, **versions_of(version))]
        )  # fmt: skip
    books = await left(conn)
    assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 10_000, 3_000)])
    assert books.flags == ["readings_of_another_register"]


async def test_q_m19_without_registers_at_its_ends_the_last_known_ones_are_billed(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(meter_wh=None), metered(minutes=5, wh=1_000), metered(minutes=55, wh=9_000), ended(wh=None)]
        )
    books = await left(conn)
    assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 8_000, 2_400)])
    assert books.flags == ["start_register_missing", "end_register_missing"]


async def test_q_m19_readings_sent_as_meter_values_are_those_of_the_session_at_their_connector(
    dsn: str, conn: Any
) -> None:
    """2.x: the readings name an EVSE, TransactionEvents have none. Those of other connectors are not its own."""
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(meter_wh=None), at_connector(1, 1_000), at_connector(30, 500_000, connector=2),
             at_connector(30, 900_000, connector=0), at_connector(55, 11_000), ended(wh=None)]
        )  # fmt: skip
    books = await left(conn)
    assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 10_000, 3_000)])
    assert await conn.fetchval("select count(*) from reading") == 2


async def test_q_m09_values_without_a_transaction_are_counted_once_however_often_they_come(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), *[at_connector(30, 4_000)] * 3, ended(), at_connector(30, 4_000)])
    assert await left(conn) == Left([HOLD, SETTLE], [("completed", 10_000, 3_000)], [], [], 47_000)
    assert await conn.fetchval("select count(*) from reading") == 1


async def test_q_m09_values_with_an_unknown_or_an_old_id_are_those_of_the_session_that_runs(
    dsn: str, conn: Any
) -> None:
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(), ended(), started("r2", at=after(90), meter_wh=11_000),
             metered("r1", 100, 13_000), metered("777", 110, 15_000, session_id=None), ended("r2", 120, None)]
        )  # fmt: skip
    books = await left(conn)
    assert books.sessions == [("completed", 10_000, 3_000), ("completed", 4_000, 1_200)]
    assert books.postings == [HOLD, HOLD, SETTLE, SETTLE]
    assert books.concerns == []
    assert await conn.fetchval("select count(*) from parked_report") == 0


@pytest.mark.parametrize("version", VERSIONS)
async def test_q_m18_late_values_never_reopen_a_session(dsn: str, conn: Any, version: str) -> None:
    may_open = None if version == "ocpp1.6" else new_id()
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(**versions_of(version))])
        before = await left(conn)
        await told.tell_apart(
            [metered(minutes=60, wh=11_000, session_id=may_open), metered(minutes=60.5, wh=11_000, session_id=may_open)]
        )
    assert await left(conn) == before
    assert before.postings == [HOLD, SETTLE]


@pytest.mark.parametrize("version", VERSIONS)
async def test_q_t14_energy_that_flows_on_after_the_end_is_listed_once_and_not_billed(
    dsn: str, conn: Any, version: str
) -> None:
    may_open = None if version == "ocpp1.6" else new_id()
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(), ended(reason="EmergencyStop", **versions_of(version)),
             *[metered(minutes=minutes, wh=10_000 + 100 * minutes, session_id=may_open) for minutes in (62, 65, 70)]]
        )  # fmt: skip
    books = await left(conn)
    assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 10_000, 3_000)])
    assert books.concerns == ["energy_after_end"]
    gap = await conn.fetchrow("select from_wh, to_wh from unattributed_energy")
    assert tuple(gap) == (11_000, 17_000)


async def test_q_m08_what_an_idle_meter_counted_is_listed_and_billed_to_nobody(dsn: str, conn: Any) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(), at_connector(70, 11_004), at_connector(80, 11_003)])
    books = await left(conn)
    assert (books.postings, books.concerns) == ([HOLD, SETTLE], [])
    gaps = await conn.fetch("select connector, from_wh, to_wh, at from unattributed_energy")
    assert [tuple(row) for row in gaps] == [(1, 11_000, 11_004, after(70))]


@pytest.mark.parametrize("ref", ["-1", "0"])
async def test_q_t05_an_end_without_an_id_ends_the_one_session_that_it_can_mean(dsn: str, conn: Any, ref: str) -> None:
    nameless = ended(ref, may_open=False)
    async with Told(dsn) as told:
        await told.tell_apart([started("r0", connector=2, at=after(61), meter_wh=5, token=make.BOB), started()])
        outcomes = await told.tell_apart([nameless, nameless])
        await told.tell(started("r2", at=after(90), meter_wh=11_000))
        repeated = (await told.tell(nameless))[0]

    assert {outcome.fee_minor for outcome in (*outcomes, repeated)} == {3_000}
    books = await left(conn)
    assert books.postings == [HOLD, HOLD, SETTLE]
    states = await conn.fetch("select ref, state from session order by ref")
    assert [tuple(row) for row in states][1:] == [("r1", "completed"), ("r2", "active")]


@pytest.mark.parametrize("ref", ["-1", "0", "4711"])
async def test_q_t09_an_end_that_fits_no_session_or_several_is_kept_and_ends_none(
    dsn: str, conn: Any, ref: str
) -> None:
    """Also Q-T15: a free session that this system never started."""
    await make.fund(conn, "bob", 50_000)
    async with Told(dsn) as told:
        await told.tell(ended(ref, may_open=False))
        await told.tell_apart([started("r1"), started("r2", connector=2, token=make.BOB)])
        outcomes = await told.tell_apart([ended(ref, may_open=False)] * 3)

    assert {outcome.status for outcome in outcomes} == {"accepted"}
    books = await left(conn)
    assert (books.postings, books.concerns) == ([HOLD, HOLD], ["report_parked"])
    assert [state for state, *_ in books.sessions] == ["active", "active"]
    assert await conn.fetchval("select count(*) from parked_report") == 1


@pytest.mark.parametrize("version", VERSIONS)
async def test_q_t11_an_end_that_comes_days_later_is_billed_by_its_own_time(dsn: str, conn: Any, version: str) -> None:
    async with Told(dsn) as told:
        await told.tell_apart([started(), ended(received_at=after(4 * 1440), offline=True, **versions_of(version))])
    assert await left(conn) == Left([HOLD, SETTLE], [("completed", 10_000, 3_000)], [], [], 47_000)
    assert await conn.fetchval("select ended_at from session") == after(60)


@pytest.mark.parametrize("version", VERSIONS)
async def test_without_a_clock_of_the_stations_more_than_our_time_allows_is_held(
    dsn: str, conn: Any, version: str
) -> None:
    """Q-K01: dated 1970. 22 kW for two minutes give less than a kWh, whatever the registers say."""
    long_ago = datetime.fromisoformat("1970-01-01T00:00:09Z")
    async with Told(dsn) as told:
        await told.tell_apart(
            [started(at=long_ago, received_at=after(0)),
             ended(minutes=2, at=long_ago, received_at=after(2), **versions_of(version))]
        )  # fmt: skip
    books = await left(conn)
    assert (books.postings, books.sessions) == ([HOLD], [("review", None, None)])
    assert "above_ceiling" in books.flags


class TestSigned:
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_valid_begin_and_end_are_the_evidence(self, dsn: str, conn: Any, version: str) -> None:
        """The plain registers say 10 kWh, the signed ones 9; other readings count for nothing."""
        begin, end = signed("begin", 1_500, "valid", after(0)), signed("end", 10_500, "valid", after(60))
        async with Told(dsn) as told:
            await told.tell_apart(
                [started(signed=() if version == "ocpp1.6" else (begin,)),
                 metered(minutes=1, wh=1_500, signed=(begin,) if version == "ocpp1.6" else ()),
                 metered(minutes=30, wh=20_000), ended(signed=(end,), **versions_of(version))]
            )  # fmt: skip
        books = await left(conn)
        assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 9_000, 2_700)])
        assert books.flags == ["signed_start", "signed_register_differs", "signed_end"]
        rows = await conn.fetch("select context, verdict, register_wh, connector from signed_value order by at")
        assert [tuple(row) for row in rows] == [("begin", "valid", 1_500, 1), ("end", "valid", 10_500, 1)]

    @pytest.mark.parametrize("context", ["begin", "end"])
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_a_forged_begin_or_end_holds_the_bill(
        self, dsn: str, conn: Any, version: str, context: Literal["begin", "end"]
    ) -> None:
        value = signed(context, 1_000, "invalid", after(0))
        begin, end = ((value,), ()) if context == "begin" else ((), (value,))
        async with Told(dsn) as told:
            await told.tell_apart([started(signed=begin), ended(signed=end, **versions_of(version))])
        assert await left(conn) == Left(
            [HOLD], [("review", None, None)], ["session_review"], ["signature_invalid"], 20_000
        )
        assert await conn.fetchval("select reason from session") == "signature_invalid"

    async def test_without_a_registered_key_the_plain_registers_are_billed_and_the_text_is_kept(
        self, dsn: str, conn: Any
    ) -> None:
        value = signed("end", 99_999, "no_key", after(60))
        async with Told(dsn) as told:
            await told.tell_apart([started(), ended(signed=(value,)), ended(signed=(value,))])
        assert await left(conn) == Left([HOLD, SETTLE], [("completed", 10_000, 3_000)], [], [], 47_000)
        assert await conn.fetchval("select raw from signed_value") == value.raw

    async def test_a_forged_value_that_comes_after_the_bill_is_listed_and_moves_nothing(
        self, dsn: str, conn: Any
    ) -> None:
        value = signed("end", 11_000, "invalid", after(60))
        async with Told(dsn) as told:
            await told.tell_apart([started(), ended(), *[metered(minutes=60, wh=11_000, signed=(value,))] * 2])
        books = await left(conn)
        assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 10_000, 3_000)])
        assert books.concerns == ["signature_invalid"]
        assert await conn.fetchval("select count(*) from signed_value") == 1

    async def test_signed_values_that_arrive_before_their_start_and_end_stand_all_the_same(
        self, dsn: str, conn: Any
    ) -> None:
        """2.x out of order: the plain registers of Started and Ended come last."""
        values = (signed("begin", 2_000, "valid", after(0)), signed("end", 4_000, "valid", after(60)))
        async with Told(dsn) as told:
            await told.tell_apart([metered(minutes=30, wh=3_000, signed=values), ended(), started()])
        books = await left(conn)
        assert (books.postings, books.sessions) == ([HOLD, SETTLE], [("completed", 2_000, 600)])

    @pytest.mark.parametrize("together", [True, False])
    @pytest.mark.parametrize("version", VERSIONS)
    async def test_what_was_signed_for_one_session_is_no_evidence_for_another(
        self, dsn: str, conn: Any, version: str, together: bool
    ) -> None:
        """Ann's begin, signed and true, sent again for Bob's session: he would pay for her energy."""
        await make.fund(conn, "bob", 50_000)
        begin, end = signed("begin", 1_000, "valid", after(0)), signed("end", 11_000, "valid", after(60))
        last = signed("end", 12_000, "valid", after(130))
        bobs = [
            started("r2", at=after(70), meter_wh=11_000, token=make.BOB, signed=(begin,)),
            ended("r2", 130, 12_000, signed=(last,), **versions_of(version)),
        ]
        async with Told(dsn) as told:
            anns = [started(signed=(begin,)), ended(signed=(end,), **versions_of(version))]
            if together:
                await told.tell(*anns, *bobs)
            else:
                await told.tell_apart(anns)
                await told.tell_apart([*bobs, bobs[0], anns[0]])
        books = await left(conn)
        assert books.sessions == [("completed", 10_000, 3_000), ("review", None, None)]
        assert books.postings == [HOLD, HOLD, SETTLE]
        assert books.concerns == ["session_review"]
        reused = await conn.fetchrow("select context, verdict, reason from signed_value where verdict <> 'valid'")
        ann = await conn.fetchval("select id from session where ref = 'r1'")
        assert tuple(reused) == ("begin", "invalid", f"it is evidence of session {ann}")

    async def test_a_begin_that_came_before_its_start_is_evidence_of_that_session_alone(
        self, dsn: str, conn: Any
    ) -> None:
        """1.6: the begin comes without an id while nothing runs, and again with the stop."""
        await make.fund(conn, "bob", 50_000)
        begin, end = signed("begin", 11_000, "valid", after(69)), signed("end", 12_000, "valid", after(130))
        async with Told(dsn) as told:
            await told.tell_apart(
                [started(), ended(), at_connector(69, 11_000, signed=(begin,)),
                 started("r2", at=after(70), meter_wh=11_000, token=make.BOB),
                 ended("r2", 130, 12_000, signed=(begin, end))]
            )  # fmt: skip
        books = await left(conn)
        assert books.sessions == [("completed", 10_000, 3_000), ("completed", 1_000, 300)]
        assert books.concerns == []
