"""Rented items told to charge: once the rental is paid for and its item plugged in."""

from __future__ import annotations

from uuid import UUID

from csms.api import answers
from csms.api.call import Call, Route, connection, system
from csms.api.problems import Problem
from csms.api.sessions import WaitQuery, new_id, send
from csms.flows import charging_requests, rentals
from csms.flows.charging_requests import NotReady


async def request_charging(call: Call) -> tuple[int, answers.Command]:
    """
    Have a rented charger charge: 202 with the command, `?wait=SECONDS` waits for its end.

    409 unless the rental is open and paid for and its charger plugged into an outlet of ours: `error` says which
    is missing. While a command is under way, or the charger charges, a repeat answers that one and sends nothing.
    """
    rental_id = UUID(call.path["rental"])
    async with connection(call.parts) as conn:
        await rentals.show(conn, rental_id)
    try:
        async with system(call.parts) as conn:
            prepared = await charging_requests.prepare(conn, rental_id, new_id(), call.parts.clock())
    except NotReady as error:
        raise Problem(409, str(error), members={"error": error.error}) from None
    if prepared.start is not None:
        return await send(call, prepared.command_id, prepared.item, prepared.start)
    async with system(call.parts) as conn:
        return 202, answers.command(await charging_requests.await_command(conn, prepared.command_id))


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/rentals/{rental}/charging-request", request_charging, ("stations:command", "driver:self"),
        "Have a rented charger charge", answers.Command, query=WaitQuery, status=202, or_else=200, connects=False,
    ),
)  # fmt: skip
