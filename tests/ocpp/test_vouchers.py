"""A vehicle asks for vouchers through a station, and buys one from its driver's balance, on every version (V05)."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from typing import Any

import pytest

from csms import db
from csms.domain.offers import judge_all
from csms.flows import offering, vehicles, vouchers
from csms.flows.vehicles import Wish
from csms.ocpp.schemas import FOLDERS
from csms.ocpp.vendor import bodies
from tests import make
from tests.flows.selling import spec
from tests.ocpp.house import Rig, Station

EVCC = {"type": "EVCCID", "value": "0123456789AB"}
VIN = {"type": "VIN", "value": "WVWZZZ1JZXW000001"}


async def house(rig: Rig) -> None:
    """Two products are on sale, and two identifications of Ann's car are proven."""
    async with rig.pool.acquire() as conn:
        for product in (spec("night", 9_900), spec("small", 900)):
            await vouchers.add_product(conn, product, rig.now)
        for one in (EVCC, VIN):
            await vehicles.add(conn, Wish("ann", one["type"], one["value"], None, False), rig.now)  # type: ignore[arg-type]


async def say(station: Station, version: str, message: str, **body: Any) -> Any:
    """The answer: its status and its data."""
    told = {"v": 1, "id": "vou-00000001", "ts": "2026-11-20T12:00:00Z", "vehicle": EVCC, **body}
    data: Any = json.dumps(told) if version == "ocpp1.6" else told
    answer = await station.call("DataTransfer", {"vendorId": bodies.VENDOR, "messageId": message, "data": data})
    found = answer["data"]
    found = json.loads(found) if version == "ocpp1.6" else found
    bodies.validator("answer").validate(found)
    return answer["status"], found


async def count(rig: Rig, table: str) -> int:
    async with rig.pool.acquire() as conn:
        return int(await conn.fetchval(f"select count(*) from {table}"))


@pytest.mark.parametrize("version", FOLDERS)
async def test_a_vehicle_asks_and_buys_once(pool: db.Pool, dsn: str, version: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station(version)

        status, found = await say(station, version, "Voucher.Inquire")
        assert (status, found["exp"]) == ("Accepted", "2026-11-20T12:15:00Z")
        assert [(o["name"], o["fee"], o["currency"]) for o in found["offers"]] == [("small", 900, "KRW")]
        assert await say(station, version, "Voucher.Inquire") == (status, found)
        await rig.told.tell(make.started("here", at=rig.now))
        taken = {"id": "vou-00000002", "inquiry": "vou-00000001", "offer": found["offers"][0]["offer"]}
        bought = await say(station, version, "Voucher.Purchase", **taken)
        assert (bought[0], bought[1]["bill"]["fee"]) == ("Accepted", 900)
        assert await say(station, version, "Voucher.Purchase", **taken) == bought
        again = await say(station, version, "Voucher.Purchase", **{**taken, "id": "vou-00000003"})

        assert (again[0], again[1]["err"]) == ("Rejected", "NotAuthorized")
        assert (await count(rig, "voucher"), await count(rig, "voucher_inquiry")) == (1, 1)
        assert rig.events == []  # the road has nothing to do with it
        await station.leave()


async def test_what_may_not_be_is_rejected_with_its_code(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station, other = await rig.station("ocpp2.0.1"), await rig.station("ocpp2.0.1", "S2")

        async def refused(at: Station, message: str, **body: Any) -> str:
            status, found = await say(at, "ocpp2.0.1", message, **body)
            return f"{status} {found['err']}"

        unknown = {"type": "EVCCID", "value": "BA9876543210"}
        assert await refused(station, "Voucher.Inquire", vehicle=unknown) == "Rejected NotAuthorized"
        assert (
            await refused(station, "Voucher.Inquire", vehicle={"type": "MAC", "value": "x"}) == "Rejected NotAuthorized"
        )
        _, found = await say(station, "ocpp2.0.1", "Voucher.Inquire")
        taken = {"inquiry": "vou-00000001", "offer": found["offers"][0]["offer"]}
        assert await refused(other, "Voucher.Purchase", **taken) == "Rejected NotAuthorized"
        assert await refused(station, "Voucher.Purchase", **{**taken, "offer": "night"}) == "Rejected NotAuthorized"
        await rig.told.tell(make.started("here", at=rig.now))
        rig.now += timedelta(minutes=15)
        assert await refused(station, "Voucher.Purchase", **taken) == "Rejected GrantExpired"
        assert await count(rig, "voucher") == 0


async def test_who_cannot_pay_gets_nothing(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        async with pool.acquire() as conn:
            await vouchers.add_product(conn, spec("dear", 50_001), rig.now)
            await vehicles.add(conn, Wish("ann", "EVCCID", EVCC["value"], None, False), rig.now)
        station = await rig.station("ocpp2.1")
        _, found = await say(station, "ocpp2.1", "Voucher.Inquire")
        await rig.told.tell(make.started("here", at=rig.now))

        taken = {"inquiry": "vou-00000001", "offer": found["offers"][0]["offer"]}
        status, answer = await say(station, "ocpp2.1", "Voucher.Purchase", **taken)

        assert (status, answer["err"], await count(rig, "voucher")) == ("Rejected", "NoCredit", 0)


async def test_what_a_vehicle_tells_by_itself_buys_once_a_day_without_charging(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp2.0.1")

        async def buy(number: int) -> str:
            asked = {"id": f"ask-{number:08}"}
            _, found = await say(station, "ocpp2.0.1", "Voucher.Inquire", **asked)
            offer = found["offers"][0]["offer"]
            taken = {"id": f"buy-{number:08}", "inquiry": asked["id"], "offer": offer}
            return str((await say(station, "ocpp2.0.1", "Voucher.Purchase", **taken))[0])

        first, second = await buy(1), await buy(2)
        await rig.told.tell(make.started("here", at=rig.now))
        while_charging = await buy(3)

        assert (first, second, while_charging) == ("Accepted", "Rejected", "Accepted")


async def test_a_vehicle_buys_nothing_but_where_its_driver_charges(pool: db.Pool, dsn: str) -> None:
    vehicle = VIN
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station = await rig.station("ocpp1.6")
        _, found = await say(station, "ocpp1.6", "Voucher.Inquire", vehicle=vehicle)
        offer = found["offers"][0]["offer"]
        taken = {"id": "vou-00000002", "inquiry": "vou-00000001", "offer": offer, "vehicle": vehicle}

        for at in (None, "S2"):
            if at is not None:
                await rig.told.tell(make.started("there", at=rig.now, station_id=at))
            status, answer = await say(station, "ocpp1.6", "Voucher.Purchase", **taken)
            assert (status, answer["err"]) == ("Rejected", "NotAuthorized")
        await rig.told.tell(make.ended("there", station_id="S2"))
        await rig.told.tell(make.started("here", at=rig.now))
        bought = await say(station, "ocpp1.6", "Voucher.Purchase", **taken)
        assert (bought[0], await count(rig, "voucher")) == ("Accepted", 1), bought
        await rig.told.tell(make.ended("here"))
        assert await say(station, "ocpp1.6", "Voucher.Purchase", **taken) == bought


async def test_a_slow_answer_keeps_no_report_waiting_on_the_road(pool: db.Pool, dsn: str) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        asking, charging = await rig.station("ocpp1.6"), await rig.station("ocpp1.6", "S2")
        async with pool.acquire() as conn, conn.transaction():
            await conn.execute("lock table voucher_inquiry in access exclusive mode")
            asked = asyncio.create_task(say(asking, "ocpp1.6", "Voucher.Inquire"))
            assert "currentTime" in await charging.call("Heartbeat", {})
            started = {"connectorId": 1, "idTag": make.BOB, "meterStart": 0, "timestamp": "2026-11-20T12:00:00Z"}
            assert "transactionId" in await charging.call("StartTransaction", started)
            assert not asked.done()

        assert (await asked)[0] == "Accepted"


async def test_no_connection_is_held_while_products_are_tried_out(
    pool: db.Pool, dsn: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Rig(pool, dsn) as rig:
        await house(rig)
        station, busy = await rig.station("ocpp2.1"), []

        def judging(*asked: Any) -> Any:
            busy.append(pool.get_size() - pool.get_idle_size())
            return judge_all(*asked)

        monkeypatch.setattr(offering, "judge_all", judging)
        assert (await say(station, "ocpp2.1", "Voucher.Inquire"))[0] == "Accepted"

    assert busy == [0]
