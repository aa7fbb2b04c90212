"""The host of a site as third payee on the road: billed, posted, refunded, corrected, billed anew after a late end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.domain.events import BillCorrected, BillRefunded, Event, ProvisionallyEnded
from csms.flows import reports, settlements
from csms.flows.reports import Filter
from tests import make
from tests.make import SUE, Told, after, ended, metered, started, verdict

HOST = "site:site:payable"


@pytest.fixture(autouse=True)
async def _seeded(conn: Any) -> None:
    await make.seed(conn)


@pytest.fixture(autouse=True)
async def _books_hold(conn: Any) -> AsyncIterator[None]:
    """Whatever happened, every invariant of `db/checks` holds afterwards."""
    yield
    wrong = await db.check(conn)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


async def hosted(conn: Any, dsn: str, *events: Event, host_bp: int = 2_000) -> None:
    """A session at S1 that takes the electricity of the host of its site, and what is told of it then."""
    async with Told(dsn) as told:
        await told.tell(started())
    await conn.execute("update session set host_bp = $1", host_bp)
    async with Told(dsn) as told:
        await told.tell_apart(events)


async def shares(conn: Any) -> list[tuple[int, ...]]:
    """(fee, operator's, host's, provider's share) of each bill."""
    rows = await conn.fetch(
        "select total_minor, operator_minor, host_minor, provider_minor from bill order by revision"
    )
    return [tuple(row) for row in rows]


async def money(conn: Any, addresses: Sequence[str] = (HOST, "provider:P:payable")) -> list[int]:
    return [
        int(await conn.fetchval("select balance from account_balance where address = $1", address) or 0)
        for address in addresses
    ]


def refunded(minor: int, number: int) -> BillRefunded:
    return BillRefunded("S1", "r1", after(90), UUID(int=number << 8), minor, "broken plug", "staff")


async def test_the_host_of_a_site_gets_its_share_of_the_fee(conn: Any, dsn: str) -> None:
    await hosted(conn, dsn, metered(), ended())

    assert await shares(conn) == [(3_000, 300, 600, 2_100)]
    moved = await conn.fetch("select debit, credit, amount from transfer t join posting p on p.id = posting_id"
                             " where p.kind = 'settle' order by seq")  # fmt: skip
    held = f"session:{await conn.fetchval('select id from session')}:held"
    assert [tuple(row) for row in moved] == [
        (held, "provider:P:payable", 2_100), (held, "operator:fee", 300), ("operator:fee", "vat:output", 27),
        (held, HOST, 600), (held, "driver:ann:balance", 27_000),
    ]  # fmt: skip


async def test_without_a_share_no_host_is_told_of(conn: Any, dsn: str) -> None:
    await conn.execute("update site set host_bp = 5000, host_name = 'Kim'")
    await hosted(conn, dsn, metered(), ended(), host_bp=0)

    assert await shares(conn) == [(3_000, 300, 0, 2_700)]
    assert await conn.fetchval("select count(*) from transfer where credit like 'site:%'") == 0


async def test_refunds_take_from_all_three_until_nothing_is_left(conn: Any, dsn: str) -> None:
    await hosted(conn, dsn, metered(), ended(), refunded(1_000, 1))
    assert (await shares(conn))[-1] == (-1_000, -100, -200, -700)
    assert await money(conn) == [400, 1_400]

    async with Told(dsn) as told:
        await told.tell_apart([refunded(7, 2), refunded(7, 3), refunded(1_986, 4)])
    assert [sum(column) for column in zip(*await shares(conn), strict=True)] == [0, 0, 0, 0]
    assert await money(conn, (HOST, "provider:P:payable", "operator:fee", "vat:output")) == [0, 0, 0, 0]


async def test_a_refund_of_units_never_asks_a_payee_the_other_way_round(conn: Any, dsn: str) -> None:
    await conn.execute("insert into provider_terms (provider_id, version, operator_bp, created_at)"
                       " values ('P', 2, 2000, now()); update provider set terms_version = 2")  # fmt: skip
    await hosted(conn, dsn, ended(wh=1_010), refunded(1, 1), refunded(1, 2), refunded(1, 3))

    assert await shares(conn) == [(3, 1, 1, 1), (-1, 0, 0, -1), (-1, -1, 0, 0), (-1, 0, -1, 0)]


async def test_a_correction_takes_the_hosts_share_back_and_gives_it_anew(conn: Any, dsn: str) -> None:
    corrected = BillCorrected("S1", "r1", after(90), 1, 5_001, None, "meter exchanged", "staff")
    await hosted(conn, dsn, metered(), ended(), corrected)

    assert await shares(conn) == [(3_000, 300, 600, 2_100), (-3_000, -300, -600, -2_100), (1_500, 150, 300, 1_050)]
    assert await money(conn) == [300, 1_050]


async def test_a_late_end_takes_the_provisional_share_back(conn: Any, dsn: str) -> None:
    gone = ProvisionallyEnded("S1", "r1", after(120), "PowerLoss")
    await hosted(conn, dsn, metered(), gone)
    assert await money(conn) == [180, 630]

    async with Told(dsn) as told:
        await told.tell(ended(received_at=after(500)))
    assert await shares(conn) == [(900, 90, 180, 630), (-900, -90, -180, -630), (3_000, 300, 600, 2_100)]
    assert await money(conn) == [600, 2_100]


async def test_what_a_psp_collects_is_divided_in_three(conn: Any, dsn: str) -> None:
    async with Told(dsn) as told:
        waits = told.send(started(token=SUE))
        await told.tell(metered())
        await told.tell(verdict(told.asks[0]))
        await waits
    await conn.execute("update session set host_bp = 2000")
    async with Told(dsn) as told:
        await told.tell(ended())

    assert await shares(conn) == [(3_000, 300, 600, 2_100)]
    assert await money(conn, (HOST, "psp:social:receivable")) == [600, -3_000]


async def test_a_statement_and_every_report_have_the_hosts_share(conn: Any, dsn: str) -> None:
    await conn.execute("update site set host_bp = 2000, host_name = 'Kim'")
    await hosted(conn, dsn, metered(), ended(), refunded(1_000, 1))
    day = make.NOON.date()
    for _ in range(2):
        whole = await report(conn, "hosts", by="period")
        assert [(row["site"], row["host"], row["sessions"], row["energy_wh"], row["fees_minor"]) for row in whole] == [
            ("site", "Kim", 1, 10_000, 2_000)
        ]
        assert (whole[0]["host_share_minor"], whole[0]["host_paid_minor"], whole[0]["host_share"]) == (400, 0, "400")
        assert [row["period"] for row in await report(conn, "hosts")] == [f"{day:%Y-%m}"]
        assert await report(conn, "hosts", site="elsewhere") == []
        for name in ("revenue", "settlements", "vat"):
            (row,) = await report(conn, name)
            of_all = sum(row[f"{payee}_share_minor"] for payee in ("operator", "provider", "host"))
            assert (row["host_share_minor"], of_all, row["fees_minor"]) == (400, 2_000, 2_000), name
        await conn.execute("select sum_bills(100)")  # the second time out of sums
    assert [row["host_share_minor"] for row in await report(conn, "bills", site="site")] == [600, -200]

    statement, _ = await settlements.draft(conn, "P", day, day.replace(day=day.day + 1), "maker", after(10_000))
    total = await conn.fetchrow("select * from statement_sum where statement_id = $1", statement)
    assert (total["fees_minor"], total["operator_minor"], total["host_minor"], total["due_minor"]) == (
        2_000, 200, 400, 1_400,
    )  # fmt: skip
    await conn.execute("update outbox set state = 'done', done_at = now()")


async def test_what_hosts_were_due_at_an_instant_stays(conn: Any, dsn: str) -> None:
    await hosted(conn, dsn, metered(), ended())
    then = await reports.take_snapshot(conn, "hosts", after(100), after(200))
    before = await report(conn, "hosts", then)
    async with Told(dsn) as told:
        await told.tell(refunded(1_000, 1))
    assert [row["host_share_minor"] for row in before] == [600]
    assert await report(conn, "hosts", then) == before
    assert [row["host_share_minor"] for row in await report(conn, "hosts")] == [400]


async def report(conn: Any, name: str, snapshot: reports.Snapshot | None = None, **chosen: str) -> list[dict[str, Any]]:
    async with reports.opened(conn, name, Filter(chosen=chosen), snapshot) as opened:
        return [dict(zip(opened.columns, row.cells, strict=True)) async for row in opened.rows]
