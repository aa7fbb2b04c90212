"""Rented chargers give energy if and only if they are rented, paid and plugged in; a request sends one command."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain import asset_events as said
from csms.domain.commands import StartSession
from tests.api.lockers import Street, street
from tests.flows import lending
from tests.make import ended, started


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Street]:
    async with street(dsn, pool) as found:
        yield found


async def plugged(town: Street, item: str, tag: str = "outlet-1") -> None:
    base = lending.report(item, town.now)
    await town.rest.tell(said.SocketChanged(**base, item=item, connected=True, tag=tag, meter_wh=0))


async def with_outlet(town: Street) -> None:
    async with town.rest.pool.acquire() as conn:
        await conn.execute("insert into outlet_tag values ('outlet-1', 'site', now())")


async def test_an_item_charges_only_when_rented_paid_and_plugged_in_that_order(town: Street) -> None:
    rental = (await town.rent()).json
    path = f"/rentals/{rental['id']}/charging-request"
    frames = town.rest.connect("i1")
    errors = []

    async def request() -> Any:
        town.later(1)
        reply = await town.ask("ann", "POST", path)
        errors.append(reply.json.get("error") or reply.status)
        return reply

    await request()
    await town.taken(rental)
    await request()
    await plugged(town, "i1", "nobody-knows-it")
    await request()
    await with_outlet(town)
    town.later(1)
    await plugged(town, "i1")
    accepted = await request()
    assert errors == ["not_rented", "not_plugged", "unknown_outlet", 202], accepted.body
    assert (accepted.json["station"], accepted.json["action"]) == ("i1", "StartSession")
    assert [type(command) for command in frames] == [StartSession]
    assert (await town.ask("bob", "POST", path)).status == 404


async def test_a_repeated_request_sends_one_command(town: Street) -> None:
    rental = await town.held()
    await with_outlet(town)
    town.later(1)
    await plugged(town, rental["item"])
    frames = town.rest.connect(rental["item"])
    path = f"/rentals/{rental['id']}/charging-request"
    replies = await asyncio.gather(*(town.ask("ann", "POST", path) for _ in range(4)))
    replies.append(await town.ask("ann", "POST", path))
    assert {reply.status for reply in replies} == {202}, [reply.body for reply in replies]
    assert len({reply.json["id"] for reply in replies}) == 1
    assert len(frames) == 1 and await town.count("charging_request") == 1
    assert (await town.ask("ann", "GET", f"/commands/{replies[0].json['id']}")).status == 200


async def test_a_charger_that_is_not_connected_can_be_asked_again(town: Street) -> None:
    rental = await town.held()
    await with_outlet(town)
    town.later(1)
    await plugged(town, rental["item"])
    path = f"/rentals/{rental['id']}/charging-request"
    assert (await town.ask("ann", "POST", path)).status == 409
    frames = town.rest.connect(rental["item"])
    assert (await town.ask("ann", "POST", path)).status == 202 and len(frames) == 1


async def test_a_charge_that_ended_may_be_followed_by_another(town: Street) -> None:
    rental = await town.held()
    item, path = rental["item"], f"/rentals/{rental['id']}/charging-request"
    await with_outlet(town)
    town.later(1)
    await plugged(town, item)
    frames = town.rest.connect(item)
    for number in (1, 2):
        assert (await town.ask("ann", "POST", path)).status == 202
        command = frames[-1]
        assert isinstance(command, StartSession) and len(frames) == number
        start = started(f"c{number}", station_id=item, token=command.token, at=town.now)
        (outcome,) = await town.rest.tell(start)
        assert outcome.status == "accepted", outcome
        assert (await town.ask("ann", "POST", path)).status == 202 and len(frames) == number
        town.later(30)
        await town.rest.tell(ended(f"c{number}", station_id=item, minutes=town.minutes[0], wh=2_000))
    sessions = (await town.ask("ann", "GET", f"/sessions?station={item}")).json["items"]
    assert [(s["state"], s["fee"]["minor"], s["driver"]) for s in sessions] == [("completed", 300, "ann")] * 2


async def test_nobody_else_gets_energy_by_the_request_and_none_flows_after_the_return(town: Street) -> None:
    rental = await town.held()
    item = rental["item"]
    await with_outlet(town)
    town.later(1)
    await plugged(town, item)
    frames = town.rest.connect(item)
    await town.ask("ann", "POST", f"/rentals/{rental['id']}/charging-request")
    command = frames[-1]
    assert isinstance(command, StartSession)
    (by_card,) = await town.rest.tell(started("x1", station_id=item, token="B0B0B0B0", at=town.now))
    assert by_card.status != "accepted"
    town.later(30)
    await town.brought((await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", {"station": "C2"})).json)
    (too_late,) = await town.rest.tell(started("x2", station_id=item, token=command.token, at=town.now))
    assert too_late.status != "accepted"
    over = await town.ask("ann", "POST", f"/rentals/{rental['id']}/charging-request")
    assert (over.status, over.json["error"]) == (409, "not_rented")
