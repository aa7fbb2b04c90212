"""
Vouchers that vehicles ask for and buy through stations, with the pool of the gateway.

What identifies a vehicle is no secret: a VIN stands on every windscreen, and whatever a vehicle shows to one station
(EVCCID, eMAID, MAC) that station knows. So only a driver who is charging at this very station buys, from the balance.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from uuid import UUID

from csms.base.clock import Clock
from csms.base.errors import Conflict, NotFound, Refused
from csms.db import SQL, WRITER, Connection, Pool, Record
from csms.domain import token as tokens
from csms.domain import vehicle
from csms.domain.voucher_asks import NAME_LENGTH_MAX, OfferTold, VoucherAnswer, VoucherAsk
from csms.flows import offering, purchases
from csms.flows.idempotency import once
from csms.flows.offering import Question
from csms.flows.purchases import Expired, Wish
from csms.flows.vouchers import NotEnough

NOT_AUTHORIZED, NO_CREDIT, EXPIRED, BUSY = "NotAuthorized", "NoCredit", "GrantExpired", "Busy"


async def serve(pool: Pool, clock: Clock, ask: VoucherAsk) -> VoucherAnswer:
    """What a vehicle that asks at a station is answered; whatever goes wrong is one of the protocol's codes."""
    try:
        async with _acting(pool) as conn:
            row = await _vehicle(conn, ask)
            if row is None:
                return VoucherAnswer(NOT_AUTHORIZED)
            if ask.offer is not None:
                return await _purchase(conn, ask, row, clock())
            if await SQL.find_station_inquiry.value(conn, ask.station_id, ask.id) is not None:
                return await _told(conn, ask, row)
        return await _inquire(pool, ask, row, clock())
    except NotEnough:
        return VoucherAnswer(NO_CREDIT)
    except Expired:
        return VoucherAnswer(EXPIRED)
    except offering.TooMany:
        return VoucherAnswer(BUSY)
    except (Conflict, NotFound, Refused):
        return VoucherAnswer(NOT_AUTHORIZED)


TOLD_BY_ITSELF = frozenset({"EVCCID", "eMAID", "MAC"})
"""What a vehicle tells the station that it is plugged into; everybody can read a VIN, and an app is no vehicle."""

ONE_EVERY = timedelta(days=1)


@asynccontextmanager
async def _acting(pool: Pool) -> AsyncIterator[Connection]:
    """A transaction of the system's own."""
    async with pool.acquire() as conn, conn.transaction():
        await SQL.act_as.run(conn, WRITER, "", "", "")
        yield conn


async def _vehicle(conn: Connection, ask: VoucherAsk) -> Record | None:
    """The vehicle, if it is proven whose it is."""
    row: Record | None = await SQL.find_proven_vehicle.one(
        conn, ask.kind, tokens.key(vehicle.read(ask.kind, ask.value))
    )
    return row


async def _inquire(pool: Pool, ask: VoucherAsk, row: Record, now: datetime) -> VoucherAnswer:
    """New offers, unless a repeat of this very message was first with them."""
    key = vehicle.shown(row["kind"], row["key"])
    question = Question(row["id"], row["driver_id"], None, ask.station_id, ask.id, key)
    judged = await offering.judge(partial(_acting, pool), question, now)
    async with _acting(pool) as conn:
        await SQL.lock_station_inquiry.run(conn, f"{ask.station_id}/{ask.id}")
        if await SQL.find_station_inquiry.value(conn, ask.station_id, ask.id) is None:
            await offering.keep(conn, judged, now)
        return await _told(conn, ask, row)


async def _told(conn: Connection, ask: VoucherAsk, row: Record) -> VoucherAnswer:
    """The offers that this very message got."""
    rows = await SQL.list_station_offers.many(conn, ask.station_id, ask.id, row["id"])
    offers = tuple(OfferTold(str(one["id"]), _shown(one["name"]), one["price_minor"], one["currency"]) for one in rows)
    return VoucherAnswer(offers=offers, expires_at=rows[0]["valid_until"] if rows else None)


async def _may_buy(conn: Connection, ask: VoucherAsk, driver_id: str, now: datetime) -> bool:
    """
    Whether a station may spend a driver's balance on a voucher: while the driver charges there.

    What a vehicle tells by itself may buy before it charges, once a day: stations that saw it know it, and may say so.
    """
    if await SQL.charges_at.value(conn, driver_id, ask.station_id):
        return True
    if ask.kind not in TOLD_BY_ITSELF:
        return False
    return not await SQL.bought_at_stations.value(conn, driver_id, now - ONE_EVERY)


async def _purchase(conn: Connection, ask: VoucherAsk, row: Record, now: datetime) -> VoucherAnswer:
    """One voucher for one message, however often it is said."""
    offers = await SQL.list_station_offers.many(conn, ask.station_id, ask.inquiry, row["id"])
    if ask.offer not in {str(one["id"]) for one in offers}:
        return VoucherAnswer(NOT_AUTHORIZED)
    client = f"station:{ask.station_id}"
    wish = Wish(UUID(ask.offer), row["id"], f"{client}\n{ask.id}")

    async def work() -> tuple[int, object]:
        if not await _may_buy(conn, ask, row["driver_id"], now):
            raise Conflict("the driver does not charge at this station")
        bought = await purchases.from_balance(conn, wish, now)
        return 201, [str(bought["id"]), bought["price_minor"], bought["currency"], bought["valid_until"].isoformat()]

    _, told = await once(conn, client, ask.id, repr(ask), work)
    assert isinstance(told, list)
    voucher_id, fee_minor, currency, until = told
    return VoucherAnswer(
        voucher_id=voucher_id, fee_minor=fee_minor, currency=currency, expires_at=datetime.fromisoformat(until)
    )


def _shown(name: str) -> str:
    """A product's name, as far as a station can show it."""
    return "".join(character for character in name if character >= " ")[:NAME_LENGTH_MAX]
