"""Vouchers for sites with a tag and for one vehicle, on the wire of every version (V05, V06)."""

from __future__ import annotations

import json
from typing import Any

import pytest

from csms import db
from csms.domain import token as tokens
from csms.flows import parties, vehicles, vouchers
from csms.flows.vehicles import Wish
from csms.ocpp.schemas import FOLDERS
from csms.ocpp.vendor import bodies
from tests.flows.selling import spec
from tests.flows.voucher_shop import sell, used
from tests.make import BOB, after
from tests.ocpp.house import Rig, Station
from tests.ocpp.test_gateway import at, event

CAR, VAN = "0123456789AB", "BA9876543210"


async def charge(rig: Rig, station: Station, version: str, token: str, ref: str = "t-1") -> tuple[str, bool]:
    """An hour, 10 kWh, with a token: what Authorize is answered, and whether the session may begin."""
    rig.now = after(0)
    if version == "ocpp1.6":
        told = (await station.call("Authorize", {"idTag": token}))["idTagInfo"]["status"]
        begin = {"connectorId": 1, "idTag": token, "meterStart": 1_000, "timestamp": at(0)}
        started = await station.call("StartTransaction", begin)
        rig.now = after(60)
        end = {"transactionId": started["transactionId"], "meterStop": 11_000, "timestamp": at(60)}
        await station.call("StopTransaction", end)
        return told, started["idTagInfo"]["status"] == "Accepted"
    shown = {"idToken": token, "type": "MacAddress"}
    told = (await station.call("Authorize", {"idToken": shown}))["idTokenInfo"]["status"]
    info = {"transactionInfo": {"transactionId": ref}}
    started = await station.call("TransactionEvent", event("Started", 0, 0, 1_000, idToken=shown, **info))
    rig.now = after(60)
    await station.call("TransactionEvent", event("Ended", 2, 60, 11_000, **info))
    return told, started["idTokenInfo"]["status"] == "Accepted"


async def add_tokens(conn: Any, driver: str) -> None:
    for text in (CAR, VAN):
        await conn.execute(
            "insert into token (key, value, type, driver_id, status, created_at)"
            " values ($1, $2, 'rfid', $3, 'accepted', now())",
            tokens.key(text), text, driver,
        )  # fmt: skip


@pytest.mark.parametrize("version", FOLDERS)
async def test_who_has_no_money_charges_where_the_tag_is_and_nowhere_else(
    pool: db.Pool, dsn: str, conn: Any, version: str
) -> None:
    async with Rig(pool, dsn) as rig:
        await conn.execute(
            "insert into site (id, provider_id, name, time_zone, created_at) values ('far', 'P', 'Far', 'UTC', now())"
        )
        await conn.execute("update station set site_id = 'far' where id = 'S2'")
        await parties.change_site(conn, "site", {"tags": ["depot"]})
        voucher_id = await sell(conn, "bob", conditions={"tags": ["depot"]})
        here, there = await rig.station(version), await rig.station(version, "S2")

        at_depot, elsewhere = [await charge(rig, one, version, BOB) for one in (here, there)]

        assert at_depot == ("Accepted", True)
        assert elsewhere[0] in ("Blocked", "Invalid", "NoCredit") and not elsewhere[1]
        assert await used(conn, voucher_id) == (10_000, 2_500, 1)
        assert await conn.fetch("select total_minor, driver_id from bill") == [(2_500, "bob")]
        assert await db.check(conn) == {}


@pytest.mark.parametrize("version", FOLDERS)
async def test_what_counts_for_a_vehicle_is_used_by_the_token_it_shows_and_by_no_other(
    pool: db.Pool, dsn: str, conn: Any, version: str
) -> None:
    async with Rig(pool, dsn) as rig:
        await add_tokens(conn, "bob")
        voucher_id = await sell(conn, "bob", conditions={"vehicle": True}, vehicle=CAR)
        station = await rig.station(version)

        car = await charge(rig, station, version, CAR)
        others = [await charge(rig, station, version, text, f"t-{text}") for text in (VAN, BOB)]

        assert car == ("Accepted", True)
        assert not any(begins for _, begins in others) and "Accepted" not in [told for told, _ in others]
        assert await used(conn, voucher_id) == (10_000, 2_500, 1)
        assert await db.check(conn) == {}


@pytest.mark.parametrize("version", FOLDERS)
async def test_a_vehicle_buys_at_its_station_what_counts_for_it_alone(
    pool: db.Pool, dsn: str, conn: Any, version: str
) -> None:
    async with Rig(pool, dsn) as rig:
        await add_tokens(conn, "ann")
        await vouchers.add_product(conn, spec("own", 900, {"vehicle": True}), rig.now)
        await vehicles.add(conn, Wish("ann", "EVCCID", CAR, None, False), rig.now)
        station = await rig.station(version)

        async def say(message: str, **body: Any) -> Any:
            told = {"v": 1, "ts": at(0), "vehicle": {"type": "EVCCID", "value": CAR}, **body}
            data: Any = json.dumps(told) if version == "ocpp1.6" else told
            call = {"vendorId": bodies.VENDOR, "messageId": message, "data": data}
            found = (await station.call("DataTransfer", call))["data"]
            return json.loads(found) if version == "ocpp1.6" else found

        [offer] = (await say("Voucher.Inquire", id="vou-00000001"))["offers"]
        taken = {"id": "vou-00000002", "inquiry": "vou-00000001", "offer": offer["offer"]}
        assert (await say("Voucher.Purchase", **taken))["bill"]["fee"] == 900

        for token in (VAN, CAR):
            await charge(rig, station, version, token, f"t-{token}")
        fees = {row["token_masked"]: row["fee_minor"] - row["drawn_minor"] for row in await conn.fetch(
            "select token_masked, fee_minor, drawn_minor from session"
        )}  # fmt: skip
        assert fees == {tokens.masked(VAN): 3_000, tokens.masked(CAR): 0}
        assert await conn.fetchval("select token_key from voucher") == tokens.key(CAR)
        assert await db.check(conn) == {}
