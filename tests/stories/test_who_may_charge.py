"""Who may not charge leaves no session; who sends a start all the same leaves one without a bill (P01, P03, P04)."""

from __future__ import annotations

from functools import partial

import pytest

from charge_points_sim.devices import DEVICES
from charge_points_sim.rest import RestError
from charge_points_sim.session import Token
from tests.stories.world import World

VERSIONS = pytest.mark.parametrize("version", DEVICES)


@VERSIONS
async def test_a_refused_social_token_leaves_no_session(world: World, version: str) -> None:
    place = await world.place(version)
    alias = await world.alias(place, f"stranger-{world.day}")
    assert alias is None or not await world.accepted(place, alias)
    assert await world.sessions(place) == []


@VERSIONS
async def test_an_unknown_card_leaves_no_session(world: World, version: str) -> None:
    place = await world.place(version)
    assert not await world.accepted(place, Token("DEADBEEF00"))
    assert await world.sessions(place) == []


@VERSIONS
async def test_a_start_without_permission_is_recorded_and_never_billed(world: World, version: str) -> None:
    place = await world.place(version)
    session = await world.start(place, Token("DEADBEEF01"))
    assert session.accepted is False
    place.at(60)
    await place.connection.do(partial(place.station.end, session, session.start_wh, reason="deauthorized"))
    stored = await world.only(place)
    assert stored["state"] == "invalid"
    with pytest.raises(RestError, match="no bill"):
        await world.bill(stored)


@VERSIONS
async def test_an_empty_balance_starts_no_charge(world: World, version: str) -> None:
    place = await world.place(version)
    _, card = await world.prepaid(minor=0)
    assert not await world.accepted(place, card)
    assert (await world.start(place, card)).accepted is False


@VERSIONS
async def test_a_small_balance_is_never_overdrawn(world: World, version: str) -> None:
    place = await world.place(version)
    place.station.asked_to_stop = lambda session: None  # it says yes and charges on (Q-T17)
    driver, card = await world.prepaid(minor=1_000)
    await world.charge(place, card)
    bill = await world.bill(await world.only(place))
    (balance,) = (await world.rest.get(f"/drivers/{driver}/balance"))["balances"]
    assert (bill["total"]["minor"], bill["not_charged"]["minor"]) == (1_000, 500 + 11 * 320 + 600 - 1_000)
    assert [balance[name]["minor"] for name in ("balance", "held", "debt")] == [0, 0, 0]


@VERSIONS
async def test_a_token_is_never_shown_in_clear(world: World, version: str) -> None:
    place = await world.place(version)
    _, card = await world.prepaid()
    await world.charge(place, card)
    shown = (await world.only(place))["token"]
    assert card.value not in str(shown)
