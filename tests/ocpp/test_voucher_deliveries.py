"""What was bought through a station is handed over there, signed, once it is there; at the worst not at all."""

from __future__ import annotations

import asyncio
import json
import random
from datetime import timedelta
from functools import partial
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.api import auth, voucher_documents
from csms.domain.commands import DeliverVoucher
from csms.flows import vouchers
from csms.ocpp import schemas
from csms.ocpp.gateway import COMMANDS
from csms.ocpp.schemas import FOLDERS, Version
from csms.ocpp.socket import READY_S
from csms.ocpp.vendor import bodies
from csms.store import outbox
from csms.store.outbox import Job, Result
from csms.worker import deliveries
from csms.worker.tasks import Outside
from tests import make
from tests.make import NOON
from tests.ocpp.house import Rig, Station
from tests.ocpp.test_vouchers import count, house, say

VOUCHER = UUID("01991f00-0000-7000-8000-000000000001")


async def bought(rig: Rig, station: Station, version: str) -> str:
    """A voucher's id, as the station was told it."""
    _, found = await say(station, version, "Voucher.Inquire")
    await rig.told.tell(make.started("here", at=rig.now))
    taken = {"id": "vou-00000002", "inquiry": "vou-00000001", "offer": found["offers"][0]["offer"]}
    answers = [await say(station, version, "Voucher.Purchase", **taken) for _ in "12"]
    assert answers[0] == answers[1] and await count(rig, "outbox where kind = 'voucher.deliver'") == 1
    return str(answers[0][1]["bill"]["ref"])


async def work(rig: Rig, attempts: int = 1) -> Result:
    """The worker takes the job in hand."""
    async with rig.pool.acquire() as conn:
        row = await conn.fetchrow("select * from outbox where kind = 'voucher.deliver'")
        signer = auth.Signer((await auth.load_keys(conn, NOON))[0], "csms", "csms")
    job = Job(row["id"], row["kind"], row["key"], row["subject"], json.loads(row["payload"]), attempts, attempts)
    [task] = deliveries.tasks(rig.commands, partial(voucher_documents.sign, signer)).values()
    return await task(job, Outside(rig.pool, {}, {}, rig.clock, random.Random(1)))


async def settled(rig: Rig, station: Station) -> None:
    """A station has said something, and ten seconds have passed: it may be called."""
    await station.call("Heartbeat", {})
    for _ in range(READY_S + 1):
        rig.gateway.wheel.tick()


async def delivered(rig: Rig, station: Station, status: str) -> tuple[Any, Result]:
    """What the station heard, once it could be called, and what came of its answer."""
    await settled(rig, station)
    working = asyncio.create_task(work(rig))
    _, message_id, action, payload = await station.hear()
    assert action == "DataTransfer"
    await station.say(json.dumps([3, message_id, {"status": status}]))
    return payload, await working


@pytest.mark.parametrize("version", FOLDERS)
async def test_a_bought_voucher_is_delivered_signed(pool: db.Pool, dsn: str, version: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station(version)
        voucher = await bought(rig, station, version)

        payload, result = await delivered(rig, station, "Accepted")

        body = json.loads(payload["data"]) if version == "ocpp1.6" else payload["data"]
        bodies.validator(f"down/{payload['messageId']}").validate(body)
        assert (payload["messageId"], body["id"]) == ("Voucher.Deliver", voucher)
        assert (body["exp"], body["vehicle"]) == ("2026-11-20T12:01:00Z", {"type": "EVCCID", "value": "01...AB"})
        assert (result.state, result.facts) == ("done", {"end": "accepted", "error": None})
        async with pool.acquire() as conn:
            keys = await auth.load_keys(conn, NOON)
        access = auth.Access(keys, "csms", "csms", 900, (), nobody)
        claims = access.signed(voucher_documents.KIND, voucher_documents.PURPOSE, body["voucher"])
        assert claims is not None and (claims["jti"], claims["product"]) == (voucher, "small")
        await station.leave()


async def nobody(issuer: str, subject: str) -> str:
    raise AssertionError(issuer, subject)


@pytest.mark.parametrize(
    ("status", "end"), [("Rejected", "rejected"), ("UnknownMessageId", "failed"), ("UnknownVendorId", "failed")]
)
async def test_a_station_that_does_not_take_it_is_asked_no_more(pool: db.Pool, dsn: str, status: str, end: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp1.6")
        await bought(rig, station, "ocpp1.6")

        _, result = await delivered(rig, station, status)

        assert result.facts is not None and (result.state, result.facts["end"], result.concerns) == ("done", end, ())
        await station.leave()


async def left(rig: Rig, station: Station) -> None:
    """A station goes, and the system has seen it."""
    await station.leave()
    for _ in range(1_000):
        if not len(rig.gateway.stations):
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it is still there")


async def kept(rig: Rig, attempts: int = 1) -> Result:
    """As `work`, and what came of it is written, as the worker does."""
    result = await work(rig, attempts)
    async with rig.pool.acquire() as conn:
        await outbox.save(conn, [result])
    return result


async def due_in_s(rig: Rig) -> float:
    """Seconds of the wall until the worker takes the job in hand."""
    async with rig.pool.acquire() as conn:
        return float(
            await conn.fetchval("select date_part('epoch', next_at - now()) from outbox where state = 'waiting'")
        )


async def test_a_station_that_is_away_is_waited_for_and_nobody_is_troubled(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp2.0.1")
        await bought(rig, station, "ocpp2.0.1")
        await left(rig, station)

        results = [await kept(rig, attempts) for attempts in range(1, 12)]

        waits = [5, 10, 20, 40, 80, 160, 320, 640, 1_280, 1_800, 1_800]
        assert [(one.state, one.wait_s) for one in results] == [("waiting", wait_s) for wait_s in waits]
        assert [one.concerns for one in results] == [()] * 11
        assert await count(rig, "command") == 0  # nothing was sent, and nothing is kept of that
        async with pool.acquire() as conn:
            await conn.execute("update outbox set created_at = now() - interval '3 hours'")
            assert await db.checks()["jobs_listed"].many(conn) == []


@pytest.mark.parametrize("version", FOLDERS)
async def test_a_station_that_comes_hours_later_gets_it_once(pool: db.Pool, dsn: str, version: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station(version)
        voucher = await bought(rig, station, version)
        await left(rig, station)
        await kept(rig, attempts=12)
        assert await due_in_s(rig) > 1_700
        rig.now += timedelta(hours=20)

        other = await rig.station(version, "S2")
        assert await due_in_s(rig) > 1_700  # it is not the one
        again = await rig.station(version)
        assert 9 < await due_in_s(rig) <= 10

        payload, result = await delivered(rig, again, "Accepted")
        async with pool.acquire() as conn:
            await outbox.save(conn, [result])
        body = json.loads(payload["data"]) if version == "ocpp1.6" else payload["data"]
        assert (body["id"], body["exp"]) == (voucher, "2026-11-21T08:01:00Z")
        assert (result.state, result.facts) == ("done", {"end": "accepted", "error": None})
        await left_and_back(rig, again, version)
        assert await count(rig, "outbox where kind = 'voucher.deliver' and state = 'waiting'") == 0
        assert await count(rig, "command") == 1
        await other.leave()


async def left_and_back(rig: Rig, station: Station, version: str) -> None:
    """A station connects once more."""
    await station.leave()
    await (await rig.station(version)).leave()


async def test_a_worker_that_dies_with_the_answer_sends_the_same_command_again(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp2.1")
        await bought(rig, station, "ocpp2.1")

        sent = [(await delivered(rig, station, "Accepted"))[0] for _ in "12"]

        assert sent[0]["data"]["id"] == sent[1]["data"]["id"]
        await station.leave()


async def test_a_station_that_answers_nothing_keeps_its_connection_and_is_not_hurried(
    pool: db.Pool, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("csms.ocpp.gateway.COMMAND_S_MAX", 0.02)
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp1.6")
        await bought(rig, station, "ocpp1.6")

        await settled(rig, station)
        results = [await kept(rig, attempts) for attempts in (9, 10, 11, 12)]
        await station.leave()
        back = await rig.station("ocpp1.6")

        assert [(one.state, one.facts) for one in results] == [("waiting", {"pending": "unknown"})] * 4
        assert station.socket.close_code == 1000  # its own word
        assert await due_in_s(rig) > 1_700
        await back.leave()


async def test_an_hour_of_silence_does_not_end_it_but_a_day_does(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp2.0.1")
        await bought(rig, station, "ocpp2.0.1")
        await left(rig, station)

        rig.now += deliveries.OFFERED_FOR - timedelta(seconds=1)
        before = await work(rig)
        rig.now += timedelta(seconds=1)
        after = await work(rig)

        assert (before.state, after.state, after.facts) == ("waiting", "done", {"end": "too late"})
        assert await count(rig, "command") == 0


async def test_what_is_given_back_while_its_station_is_away_is_never_sent(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp1.6")
        voucher = await bought(rig, station, "ocpp1.6")
        await left(rig, station)
        await kept(rig)
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute("update voucher set refund = 'unused'")
            await vouchers.give_back(conn, "ann", UUID(voucher), rig.now)

        back = await rig.station("ocpp1.6")
        result = await work(rig, attempts=2)

        assert (result.state, result.facts, await count(rig, "command")) == ("done", {"end": "refunded"}, 0)
        await back.leave()


GONE = {
    "voucher": ("update voucher set state = 'refunded'", "refunded"),
    "time": ("update voucher set valid_from = '2026-11-01', valid_until = '2026-11-20 12:00+00'", "expired"),
    "vehicle": ("delete from vehicle", "nothing to deliver"),
    "station": ("update voucher_inquiry set station_id = null, message_id = null", "nothing to deliver"),
}


@pytest.mark.parametrize(("gone", "end"), GONE.values(), ids=GONE)
async def test_what_has_gone_meanwhile_is_not_delivered(pool: db.Pool, dsn: str, gone: str, end: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp2.1")
        await bought(rig, station, "ocpp2.1")
        async with pool.acquire() as conn:
            await conn.execute(gone)

        result = await work(rig)

        assert (result.state, result.facts, await count(rig, "command")) == ("done", {"end": end}, 0)
        await station.leave()


async def test_one_that_no_frame_has_room_for_is_not_delivered(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp2.1")
        await bought(rig, station, "ocpp2.1")
        async with pool.acquire() as conn:
            places = json.dumps({"conditions": {"stations": [f"STATION-{number:040}" for number in range(60)]}})
            await conn.execute("update voucher set terms = $1", places)

        result = await work(rig)

        assert (result.facts, await count(rig, "command")) == ({"end": "too long"}, 0)
        await station.leave()


@pytest.mark.parametrize("version", FOLDERS)
def test_the_longest_one_fits_and_again_is_the_same_command(version: Version) -> None:
    document = "x" * deliveries.DOCUMENT_LENGTH_MAX
    command = DeliverVoucher(VOUCHER, "app", "\uac00p...\uac00p", document, NOON + timedelta(seconds=60))

    sent = [COMMANDS[version](command, NOON + timedelta(seconds=seconds)) for seconds in (0, 4)]

    for action, payload in sent:
        schemas.check(version, action, payload)
        text = payload["data"] if version == "ocpp1.6" else json.dumps(payload["data"])
        body = json.loads(text)
        bodies.validator("down/Voucher.Deliver").validate(body)
        assert len(text) <= bodies.DATA_BYTES_MAX and isinstance(payload["data"], str) == (version == "ocpp1.6")
        assert (body["id"], body["vehicle"]) == (str(VOUCHER), {"type": "app", "value": "p...p"})
