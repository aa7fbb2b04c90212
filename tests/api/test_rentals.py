"""Rentals over REST: paid first, proven, one door, given back anywhere; every refusal leaves nothing half done."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from uuid import UUID

import pytest

from csms import db
from csms.domain import asset_events as said
from tests.api.lockers import Street, code, street
from tests.flows import lending
from tests.make import ANN, new_id

HOLD = 30_000


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Street]:
    async with street(dsn, pool) as found:
        yield found
        async with pool.acquire() as conn:
            wrong = await db.check(conn)
        assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {}


async def money(town: Street, driver: str = "ann") -> tuple[int, int]:
    """Balance and what is set aside."""
    (entry,) = (await town.rest.get(f"/drivers/{driver}/balance"))["balances"]
    return entry["balance"]["minor"], entry["held"]["minor"]


async def given_back(town: Street, rental: Any, station: str = "C2", **more: Any) -> Any:
    body = {"station": station, "proof": code(-60 * int(town.minutes[0])), **more}
    return await town.ask("ann", "POST", f"/rentals/{rental['id']}/return", body)


@pytest.mark.parametrize("who", ["ann", "staff"])
@pytest.mark.parametrize("payer", [{"token": ANN}, {"token": "a0:a0:a0:a0"}, {"driver": "ann"}])
async def test_a_rental_is_held_and_its_door_is_told_to_open(town: Street, who: str, payer: dict[str, str]) -> None:
    reply = await town.rent(who, item_type="p1", **payer)
    rental = reply.json
    assert reply.status == 201, reply.body
    assert (rental["state"], rental["station"], rental["connector"], rental["item"]) == ("opening", "C1", 1, "i1")
    assert (rental["driver"], rental["hold"]["minor"], rental["door"]["why"]) == ("ann", HOLD, "take")
    assert rental["door"]["until"] == "2026-11-20T12:00:15.000Z" and rental["door"]["state"] == "issued"
    assert await money(town) == (70_000, HOLD) and await town.door_opens() == 1


async def test_a_whole_rental_is_billed_and_the_rest_goes_back(town: Street) -> None:
    rental = await town.held()
    assert (rental["state"], rental["due_at"]) == ("active", "2026-11-21T12:00:00.000Z")
    town.later(40.01)  # whole seconds are billed, and reported
    returning = await given_back(town, rental)
    assert returning.status == 200 and returning.json["door"]["why"] == "return", returning.body
    assert (returning.json["door"]["station"], returning.json["door"]["connector"]) == ("C2", 1)
    await town.brought(returning.json)
    closed = (await town.ask("ann", "GET", f"/rentals/{rental['id']}")).json
    assert (closed["state"], closed["fee"]["minor"], closed["return_station"]) == ("closed", 360, "C2")
    assert await money(town) == (100_000 - 360, 0)
    report = (await town.rest.get("/reports/rentals?driver=ann"))["items"]
    assert [(row["rental"], row["fee_minor"], row["held_s"]) for row in report] == [(rental["id"], 360, 2400)]


async def test_a_repeat_is_the_same_rental_even_at_once_and_when_its_proof_is_old(town: Street) -> None:
    first, second = await asyncio.gather(town.rent(key="k"), town.rent(key="k"))
    town.later(60)
    third = await town.rent(key="k", proof=code())
    assert {first.status, second.status, third.status} == {201}
    assert len({reply.json["id"] for reply in (first, second, third)}) == 1
    assert await town.count("rental") == await town.count("door_grant") == 1 and await money(town) == (70_000, HOLD)
    other = await town.ask("staff", "POST", "/rentals", {"station": "C1", "driver": "ann"}, key="k")
    assert other.status == 201 and other.json["id"] != first.json["id"]


async def test_what_is_lent_cannot_be_cancelled_and_the_problem_says_what_to_do(town: Street) -> None:
    rental = await town.held()
    refused = await town.ask("ann", "POST", f"/rentals/{rental['id']}/cancel")
    assert refused.status == 409 and "give it back" in refused.json["detail"], refused.body
    town.later(1)
    await town.brought((await given_back(town, rental)).json)
    refused = await town.ask("ann", "POST", f"/rentals/{rental['id']}/cancel")
    assert refused.status == 409 and refused.json["detail"] == "the rental is closed: nothing of it can be given up"


async def test_without_means_or_balance_nothing_is_lent(town: Street) -> None:
    reply = await town.rent("bob")
    assert (reply.status, reply.json["error"]) == (402, "NoCredit"), reply.body
    for payer in ({"token": "NEVERSEEN"}, {"payment_means": str(new_id())}, {"token": "AB10AB10"}):
        refused = await town.rent("staff", **payer)
        assert refused.status == (403 if payer.get("token") == "AB10AB10" else 402), refused.body
    assert await town.door_opens() == 0 and await money(town) == (100_000, 0)
    assert await town.count("door_grant") == await town.count("presence_use") == 0


async def test_who_owes_pays_first(town: Street) -> None:
    await town.post("driver:ann:debt", "psp:social:receivable", 500)
    reply = await town.rent()
    assert (reply.status, reply.json["detail"]) == (402, "a debt is not paid")
    await town.post("psp:social:receivable", "driver:ann:debt", 500)
    assert (await town.rent()).status == 201  # with the same code: it had led to nothing


async def test_a_blocked_driver_and_a_strangers_token_get_nothing(town: Street) -> None:
    assert (await town.rent("eve")).status == 403
    assert (await town.rent("staff", proof=None, driver="eve")).status == 403
    assert (await town.rent("ann", token="B0B0B0B0")).status == 402
    assert (await town.rent("ann", driver="bob")).status == 404
    assert (await town.rent("staff", driver="nobody")).status == 404
    assert await town.door_opens() == 0 and await town.count("rental") == 0


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"station": "C9"}, 404, None),
        ({"station": "S1"}, 404, None),
        ({"station": "C1", "connector": 4}, 404, None),
        ({"station": "C1", "connector": 3}, 409, "UnitEmpty"),
        ({"station": "C2"}, 409, "UnitEmpty"),
        ({"station": "C1", "item_type": "other"}, 409, "UnitEmpty"),
        ({"station": "C1", "connector": 0}, 422, None),
        ({"station": "C1", "driver": "ann", "token": ANN}, 422, None),
        ({"station": "C1", "price": 0}, 422, None),
    ],
)
async def test_what_cannot_be_lent_is_a_clear_problem(town: Street, body: Any, status: int, error: str | None) -> None:
    reply = await town.ask("ann", "POST", "/rentals", {**body, "proof": code()})
    assert (reply.status, reply.json.get("error")) == (status, error), reply.body
    assert reply.headers["Content-Type"].startswith("application/problem+json")
    assert await town.count("rental") == await town.count("presence_use") == await town.count("idempotency_key") == 0


async def test_a_door_that_is_kept_or_out_of_order_is_409(town: Street) -> None:
    await town.rent(connector=1)
    reserved = await town.rent("staff", proof=None, driver="ann", connector=1)
    await town.rest.tell(lending.door("C1", 2, "jammed", None, town.now))
    faulted = await town.rent("staff", proof=None, driver="ann", connector=2)
    assert [(r.status, r.json["error"]) for r in (reserved, faulted)] == [(409, "UnitReserved"), (409, "UnitFaulted")]


async def test_a_cabinet_that_is_not_connected_opens_nothing(town: Street) -> None:
    town.rest.bus.drop("station/C1/0")
    reply = await town.rent()
    assert (reply.status, reply.json["error"]) == (409, "offline")
    assert await town.door_opens() == 0 and await money(town) == (100_000, 0)
    town.rest.connect("C1")
    assert (await town.rent()).status == 201


async def test_a_request_without_a_key_is_not_served(town: Street) -> None:
    token = town.issuer.token(sub="ann", scope="driver:self")
    headers = {"Authorization": f"Bearer {token}"}
    reply = await town.rest.raw("POST", "/api/v1/rentals", json={"station": "C1"}, headers=headers)
    assert reply.status == 400 and await town.count("rental") == 0


# -- giving back ------------------------------------------------------------------------------------------------------


async def test_a_full_cabinet_gives_time_and_names_the_nearest_with_room(town: Street) -> None:
    rental = await town.held()
    town.later(60)
    async with town.rest.pool.acquire() as conn:
        for name in ("i3", "i4"):
            await lending.add_item(conn, name)
    await town.rest.tell(lending.snapshot("C2", {1: "i3", 2: "i4"}, town.now))
    full = await given_back(town, rental)
    assert (full.status, full.json["error"]) == (409, "NoEmptySlot"), full.body
    assert full.json["due_at"] == "2026-11-21T12:30:00.000Z"
    assert [(c["station"], c["distance_m"]) for c in full.json["cabinets"]] == [("C1", 44)]
    assert (await given_back(town, rental, "C1")).status == 200
    town.rest.bus.drop("station/C1/0")
    away = await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", {"station": "C1"})
    assert (away.status, away.json["error"], away.json["cabinets"]) == (409, "offline", [])


async def test_a_return_needs_presence_and_the_own_rental(town: Street) -> None:
    rental = await town.held()
    before = await town.door_opens()
    town.later(30)
    path = f"/rentals/{rental['id']}/return"
    assert (await town.ask("ann", "POST", path, {"station": "C2"})).status == 403
    assert (await town.ask("ann", "POST", path, {"station": "C2", "proof": code()})).status == 403
    assert (await town.ask("bob", "POST", path, {"station": "C2", "proof": code()})).status == 404
    assert (await town.ask("ann", "POST", path, {"station": "C9", "proof": code()})).status == 404
    assert await town.door_opens() == before
    assert (await town.ask("staff", "POST", path, {"station": "C2"})).status == 200


async def test_a_rental_that_is_over_is_not_given_back_again(town: Street) -> None:
    rental = await town.held()
    town.later(10)
    body = {"station": "C2"}
    returning = await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", body, key="r")
    again = await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", body, key="r")
    assert returning.json["door"] == again.json["door"]
    await town.brought(returning.json)
    over = await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", body)
    assert (over.status, over.json["error"]) == (409, "NoCustody")


async def test_what_was_not_taken_yet_can_be_given_up_only_before_its_door_opens(town: Street) -> None:
    rental = (await town.rent()).json
    refused = await town.ask("ann", "POST", f"/rentals/{rental['id']}/cancel")
    assert refused.status == 409 and "leave the item there" in refused.json["detail"], refused.body
    await town.rest.tell(said.GrantAnswered("C1", town.now, UUID(rental["door"]["id"]), "offline", None))
    assert (await town.rest.get(f"/rentals/{rental['id']}"))["state"] == "cancelled"
    assert await money(town) == (100_000, 0)
    assert (await town.ask("ann", "POST", f"/rentals/{rental['id']}/cancel")).status == 200


# -- what is left over, and damage ------------------------------------------------------------------------------------


async def test_the_rest_is_chosen_until_it_is_settled(town: Street) -> None:
    rental = (await town.rent(rest="refund")).json
    assert rental["rest"] == "refund"
    path = f"/rentals/{rental['id']}/rest"
    assert (await town.ask("ann", "PUT", path, {"rest": "keep"})).json["rest"] == "keep"
    assert (await town.ask("bob", "PUT", path, {"rest": "refund"})).status == 404
    await town.taken(rental)
    town.later(30)
    await town.brought((await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", {"station": "C2"})).json)
    settled = await town.ask("ann", "PUT", path, {"rest": "refund"})
    assert settled.status == 409 and "settled" in settled.json["detail"]


async def test_damage_is_paid_out_of_the_deposit_once(town: Street) -> None:
    rental = await town.held()
    town.later(30)
    grant = (await town.ask("staff", "POST", f"/rentals/{rental['id']}/return", {"station": "C2"})).json["door"]
    placed = said.ItemPlaced(
        **lending.report("C2", town.now), unit=1, item=rental["item"], grant_id=None, flags=("damaged",)
    )
    await town.rest.tell(placed)
    path = f"/rentals/{rental['id']}/inspection"
    damage = {"damage": {"amount": "7000", "currency": "KRW"}, "reason": "the case is broken"}
    for body, status in (
        ({**damage, "damage": {"minor": -1, "currency": "KRW"}}, 422),
        ({**damage, "damage": {"minor": 20_001, "currency": "KRW"}}, 409),
        ({**damage, "damage": {"minor": 1, "currency": "USD"}}, 409),
    ):
        assert (await town.ask("staff", "POST", path, body)).status == status
    assert (await town.ask("ann", "POST", path, damage)).status == 404
    done = await town.ask("staff", "POST", path, damage)
    assert done.status == 200 and done.json["state"] == "closed", done.body
    assert done.json["fee"]["minor"] == 360 + 7_000 and await money(town) == (100_000 - 7_360, 0)
    assert (await town.ask("staff", "POST", path, damage)).status == 409 and grant["why"] == "return"


async def test_lists_are_of_ones_own(town: Street) -> None:
    rental = (await town.rent()).json
    assert [r["id"] for r in (await town.ask("ann", "GET", "/rentals")).json["items"]] == [rental["id"]]
    assert (await town.ask("bob", "GET", "/rentals")).json["items"] == []
    assert (await town.ask("bob", "GET", f"/rentals/{rental['id']}")).status == 404
    assert (await town.ask("bob", "POST", f"/rentals/{rental['id']}/cancel")).status == 404
    for query, found in (("station=C1", 1), ("state=closed", 0), ("item=i1", 1), ("driver=bob", 0), ("provider=P", 1)):
        assert len((await town.rest.get(f"/rentals?{query}"))["items"]) == found, query
