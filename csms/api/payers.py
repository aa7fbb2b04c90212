"""Who pays for what is wanted at a cabinet, and that whoever wants it stands there: of rentals and of swaps."""

from __future__ import annotations

from typing import Protocol
from uuid import UUID

from csms.api.cabinets import offline
from csms.api.call import Call, connection, system
from csms.api.presence import Proof, prove
from csms.api.problems import Problem
from csms.base.errors import NotFound, Refused
from csms.db import SQL, Connection
from csms.flows import rentals
from csms.flows.erase import ME
from csms.flows.idempotency import once
from csms.flows.presence import Use
from csms.flows.rentals import Payer


class Paid(Protocol):
    """A body that says who pays: one of the three, or a driver who asks for itself."""

    token: str | None
    payment_means: str | None
    driver: str | None


async def payer_of(call: Call, new: Paid) -> Payer:
    """Who pays; Problem 402 when nobody does, 403 when the driver is blocked."""
    named = [part for part in (new.token, new.payment_means, new.driver) if part is not None]
    driver_id = call.client.driver if new.driver in (None, ME) else new.driver
    if len(named) > 1 or (not named and driver_id is None):
        raise Refused("name one of token, payment_means and driver", "/token")
    if (new.driver is not None and driver_id is None) or call.client.driver not in (None, driver_id):
        raise NotFound("there is no such driver")
    async with connection(call.parts) as conn:
        if driver_id is not None and new.token is None and new.payment_means is None:
            await known(conn, driver_id)
        payer = await _by_name(conn, call, new)
    if payer is None:
        assert driver_id is not None
        async with system(call.parts) as conn:
            payer = await rentals.payer_by_balance(conn, driver_id, call.parts.clock())
    if payer.reason is not None:
        blocked = payer.reason == "blocked"
        detail = "this driver or token is blocked" if blocked else f"nothing pays for it: {payer.reason}"
        error = "NotAuthorized" if blocked else "NoCredit"
        raise Problem(403 if blocked else 402, detail, members={"error": error})
    return payer


async def _by_name(conn: Connection, call: Call, new: Paid) -> Payer | None:
    if new.token is not None:
        return await rentals.payer_by_token(conn, new.token, call.parts.clock())
    if new.payment_means is not None:
        return await rentals.payer_by_means(conn, UUID(new.payment_means), call.parts.clock())
    return None


async def known(conn: Connection, driver_id: str) -> str:
    """A driver whom the client may know of."""
    if await SQL.show_driver.one(conn, driver_id) is None:
        raise NotFound(f"there is no driver {driver_id}")
    return driver_id


async def proven(call: Call, key: str, use: Use, proof: Proof | None) -> str:
    """How presence was proven, once per key: a repeat is not judged again. The cabinet has to be connected, too."""
    asked = f"POST {call.request.path}\n{call.body.model_dump_json()}"

    async def work() -> tuple[int, object]:
        how = await prove(call, conn, use, proof)
        if not await call.parts.commands.is_connected(use.cabinet.id, use.cabinet.epoch):
            raise offline(use.cabinet)
        return 200, {"proof": how}

    async with system(call.parts) as conn:
        _, found = await once(conn, call.client.id, key, asked, work)
    assert isinstance(found, dict)
    return str(found["proof"])
