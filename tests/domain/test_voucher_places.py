"""Vouchers that count at sites with a tag, and those that count for one vehicle only (V06)."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base.errors import Refused
from csms.domain import portable, voucher, voucher_session, voucher_terms
from csms.domain.assets import Host, Item
from csms.domain.offer_words import Known, reasons, text
from csms.domain.offers import Visit, judge
from csms.domain.pack_rows import Unit, Voucher
from csms.domain.session import Station, Terms, opened
from csms.domain.site_tags import TAGS_MAX
from csms.domain.tariff_periods import Period
from csms.domain.voucher_charge import Begun, usable
from csms.domain.world import Rules, Token, World
from tests.domain.histories import P4, product, weeks
from tests.domain.test_voucher_charge import MINE, PERIODS, covered, laid
from tests.domain.test_voucher_charge import voucher as bought
from tests.make import new_id

MINE_KEY, OTHER_KEY = b"m" * 32, b"o" * 32
NOW = datetime(2026, 3, 2, tzinfo=UTC)  # a Monday
HIGH = Known(40, 56, "high")

PLACE = st.sampled_from(["a", "b", "c"])
PLACES = st.frozensets(PLACE, max_size=3)
TAGGED = st.tuples(PLACE, st.none() | PLACE, st.frozensets(PLACE, max_size=3))


def conditions(stations: frozenset[str], sites: frozenset[str], tags: frozenset[str], **more: Any) -> Any:
    told = {"stations": sorted(stations), "sites": sorted(sites), "tags": sorted(tags)}
    return voucher_terms.read(None, {name: one for name, one in told.items() if one} | more, "wh").conditions


@given(PLACES, PLACES, PLACES, TAGGED)
def test_any_place_that_is_named_will_do_and_where_none_is_every_place(
    stations: frozenset[str], sites: frozenset[str], tags: frozenset[str], at: tuple[str, str | None, frozenset[str]]
) -> None:
    station_id, site_id, of_site = at

    there = conditions(stations, sites, tags).at(station_id, site_id, "charge", of_site)

    named = station_id in stations or site_id in sites or bool(tags & of_site)
    assert there == (named or not (stations or sites or tags))


@given(PLACES, PLACES, PLACES, PLACE, TAGGED)
def test_a_tag_more_takes_no_place_away_that_was_named(
    stations: frozenset[str],
    sites: frozenset[str],
    tags: frozenset[str],
    more: str,
    at: tuple[str, str | None, frozenset[str]],
) -> None:
    station_id, site_id, of_site = at
    before, after = (conditions(stations, sites, one) for one in (tags, tags | {more}))

    if before.has_places() and before.at(station_id, site_id, "charge", of_site):
        assert after.at(station_id, site_id, "charge", of_site)
    assert not conditions(stations, sites, tags, uses=["rental"]).at(station_id, site_id, "charge", of_site)


@pytest.mark.parametrize(
    ("told", "unit", "place"),
    [
        ({"tags": []}, "wh", "/conditions/tags"),
        ({"tags": "depot"}, "wh", "/conditions/tags"),
        ({"tags": [f"t{n}" for n in range(TAGS_MAX + 1)]}, "wh", "/conditions/tags"),
        ({"tags": ["depot", "Fast"]}, "wh", "/conditions/tags/1"),
        ({"tags": ["two words"]}, "wh", "/conditions/tags/0"),
        ({"tags": [""]}, "wh", "/conditions/tags/0"),
        ({"tags": ["x" * 25]}, "wh", "/conditions/tags/0"),
        ({"tags": ["depot\n"]}, "wh", "/conditions/tags/0"),
        ({"tags": [7]}, "wh", "/conditions/tags/0"),
        ({"tag": ["depot"]}, "wh", "/conditions/tag"),
        ({"vehicle": False}, "wh", "/conditions/vehicle"),
        ({"vehicle": 1}, "wh", "/conditions/vehicle"),
        ({"vehicle": "VIN"}, "wh", "/conditions/vehicle"),
        ({"vehicle": True, "uses": ["charge", "rental"]}, "wh", "/conditions/uses"),
        ({"vehicle": True}, "cnt", "/conditions/vehicle"),
    ],
)
def test_tags_and_vehicles_that_cannot_be_are_refused_with_their_place(told: Any, unit: Unit, place: str) -> None:
    with pytest.raises(Refused) as refused:
        voucher_terms.read(None, told, unit)

    assert refused.value.field == place


def test_a_voucher_of_a_vehicle_covers_only_what_began_with_its_token() -> None:
    mine = bought(1, vehicle=True)._replace(token_key=MINE_KEY)
    nobodys, anybodys = bought(2, vehicle=True), bought(3)

    def counting(key: bytes | None) -> list[int]:
        return [one.id.int for one in usable([mine, nobodys, anybodys], Begun("S1", None, (), key))]

    assert (counting(MINE_KEY), counting(OTHER_KEY), counting(None)) == ([1, 3], [3], [3])


def test_a_vehicle_rents_nothing() -> None:
    at_depot, of_vehicle = bought(1, tags=["depot"]), bought(2, vehicle=True)._replace(token_key=MINE_KEY)
    there = voucher.Begins("X1", "site", "P", None, NOW, ("depot",))
    elsewhere = there._replace(site_tags=("fast",))

    assert voucher.for_rental([at_depot, of_vehicle], there, "KRW", NOW + timedelta(days=1)) == [at_depot]
    assert voucher.for_rental([at_depot, of_vehicle], elsewhere, "KRW", NOW + timedelta(days=1)) == []


def test_what_is_left_is_carried_over_for_the_same_vehicle_only() -> None:
    ended = bought(1, ends=0)
    ended = ended._replace(carry_until=ended.valid_until + timedelta(days=28), token_key=MINE_KEY)
    running = bought(2)._replace(product_id=ended.product_id)
    at = ended.valid_until + timedelta(hours=1)

    def carried(key: bytes | None) -> bool:
        return ended in voucher.valid([ended, running._replace(token_key=key)], "P", "KRW", at)

    assert [carried(key) for key in (MINE_KEY, OTHER_KEY, None)] == [True, False, False]


def of_vehicle(one: Voucher, key: bytes | None) -> Voucher:
    """The same, for one vehicle only; it was bought for that of this key."""
    told = json.loads(one.terms or "{}")
    return one._replace(
        token_key=key, terms=json.dumps({**told, "conditions": {**(told["conditions"] or {}), "vehicle": True}})
    )


KEYS = st.sampled_from([None, MINE_KEY, OTHER_KEY])
BOUND = st.lists(st.tuples(st.booleans(), KEYS), min_size=4, max_size=4)


@given(MINE, BOUND, PERIODS, KEYS)
def test_whichever_token_is_shown_a_voucher_never_raises_a_price_nor_gives_more_than_is_left(
    mine: list[Voucher], bound: list[tuple[bool, bytes | None]], told: list[tuple[int, int]], shown: bytes | None
) -> None:
    mine = [of_vehicle(one, key) if is_bound else one for one, (is_bound, key) in zip(mine, bound, strict=False)]
    periods: tuple[Period, ...] = laid(told)
    _, alone = covered([], periods)

    counting = usable(mine, Begun("S1", None, (), shown))
    drawn, to_pay = covered(counting, periods)

    assert 0 <= to_pay <= alone
    left = {one.id: one.total - one.used for one in counting}
    assert all(part.units <= left[part.voucher_id] for part in drawn)


def test_the_tags_of_a_portable_charger_are_those_of_its_outlet() -> None:
    station = Station("i1", "charger", "P", "home", 1, Terms("T", 1, "KRW", 1, 1), {}, None, True, ("depot",))
    session = opened(station, new_id(), "r", "r", offline=False, received_at=NOW)
    world = World(Rules(policies={}))
    names: dict[str, Any] = dict.fromkeys(Item._fields) | {"code": "i1", "tag": "T9"}
    world.assets.items["i1"] = Item(**names)
    world.assets.hosts["T9"] = Host("yard", 0, ("fast",))

    shown = Token(MINE_KEY, "accepted", "ada", "active", None, None, None, None, False, None, False, None)

    def pays(tag: str) -> bool:
        mine = bought(1, unit="val", tags=[tag])
        world.assets.vouchers[mine.id] = mine
        return voucher_session.pays_at(world, station, shown, mine.valid_from)

    moved = portable.at_its_outlet(world, session)

    assert (pays("fast"), pays("depot")) == (True, False)
    assert (session.site_tags, moved.site_id, moved.site_tags) == (("depot",), "yard", ("fast",))


def tagged(visits: list[Visit], *tags: str) -> list[Visit]:
    return [visit._replace(site_tags=tags) for visit in visits]


def test_a_product_for_tags_is_tried_on_what_was_charged_at_such_sites() -> None:
    depot = product("p", 100, 10**6, tags=["depot", "yard"])
    nights, days = weeks(NOW, 22, 8_000, {0}), weeks(NOW, 12, 3_000, {2})

    alone = judge(tagged(nights, "fast", "depot"), depot, NOW)
    beside = judge([*tagged(nights, "fast", "depot"), *tagged(days, "fast"), *days], depot, NOW)

    assert alone.expected == beside.expected == 4 * 8 * 300 - 100
    assert beside.used > beside.covered == alone.covered == 32_000


@given(st.integers(0, 40_000), st.integers(0, 23), st.booleans())
def test_what_another_vehicle_charged_changes_nothing_and_what_this_one_charged_never_lowers_it(
    wh: int, hour: int, by_vehicle: bool
) -> None:
    own = product("p", 900, 60_000, vehicle=True)
    before = weeks(NOW, 22, 8_000, {0, 3})
    more = [visit._replace(by_vehicle=by_vehicle) for visit in weeks(NOW, hour, wh, {4}, count=1)]

    alone, beside = judge(before, own, NOW), judge([*before, *more], own, NOW)

    assert beside.expected == alone.expected if not by_vehicle else beside.expected >= alone.expected - 1


def test_what_an_offer_counts_for_is_said_in_codes_and_in_words() -> None:
    plain, bound = (
        judge(tagged(weeks(NOW, 22, 8_000, {0}), "depot"), one, NOW)
        for one in (P4, product("p", 100, 10**6, tags=["fast", "depot"], sites=["north"], vehicle=True))
    )

    found = {reason.code: reason.numbers for reason in reasons(bound, HIGH)}

    assert (found["at_tags"], found["one_vehicle"]) == ({"tags": "depot, fast"}, {})
    assert not {"at_tags", "one_vehicle"} & {reason.code for reason in reasons(plain, HIGH)}
    said = text(bound, HIGH)
    assert "It counts only at sites with the tag depot or fast, and at the places that it names." in said
    assert said.endswith("It counts only for this vehicle.")
    assert "depot 또는 fast 태그가 있는" in text(bound, HIGH, "ko") and "이 차량으로" in text(bound, HIGH, "ko")
    unknown = judge([], bound.product, NOW)
    assert "It counts only for this vehicle." in text(unknown, Known(0, 0, "low"))
    assert [reason.code for reason in reasons(unknown, Known(0, 0, "low"))] == ["no_history", "at_tags", "one_vehicle"]
