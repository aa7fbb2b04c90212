"""What a 2.1 station is told where vouchers pay is the very last Wh that they and the hold pay, or nothing."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from csms.domain import voucher_limit
from csms.domain.events import Limit, Reading
from csms.domain.pack_rows import Voucher
from csms.domain.session import VOUCHERS, Priced
from csms.domain.settlement import Split
from csms.domain.tariff import Period, Tariff, Usage, parse, price
from csms.domain.voucher_charge import covered
from csms.domain.voucher_limit import VOUCHERS_MAX, counting, most_wh
from csms.domain.watch import ENERGY_WH_MAX, caps
from tests.domain.test_spending import DRIVER, START_WH, Charge, document
from tests.domain.test_voucher_charge import FORTY, MINE, NIGHT, laid, voucher
from tests.make import NOON

PRICES = st.builds(
    lambda energy, flat: parse(document(ENERGY=energy, FLAT=flat)), st.integers(1, 900), st.sampled_from([0, 0, 500])
)
EFFECT = st.one_of(
    st.none(),
    st.builds(lambda p: {"kind": "percent_off", "percent": p}, st.integers(1, 100)),
    st.builds(lambda p: {"kind": "flat_rate", "price": p}, st.integers(0, 600)),
)
LEFT = st.integers(0, 20_000)
OF_WH = st.builds(
    lambda number, left, effect, ends, over: voucher(number, left, effect=effect, ends=ends, overuse=over),
    st.integers(1, 20),
    LEFT,
    EFFECT,
    st.integers(1, 60),
    st.sampled_from([None, None, "0", "250", "900"]),
)
OF_VALUE = st.builds(lambda number, left: voucher(number, left, unit="val", total=20_000), st.integers(21, 30), LEFT)
OF_FEES = st.builds(
    lambda number, left: voucher(
        number, left, unit="cnt", total=5, price_minor=0, effect={"kind": "fee_waived", "fees": ["FLAT"]}
    ),
    st.integers(31, 40),
    st.integers(0, 5),
)
ANY = st.lists(st.one_of(OF_WH, OF_WH, OF_VALUE, OF_FEES), max_size=5, unique_by=lambda one: one.id).map(tuple)
HOLD = st.integers(0, 20_000)
WAYS = st.lists(st.tuples(st.integers(0, 9_000), st.integers(1, 200)), min_size=1, max_size=4)


def drawn_out(wh: int, ways: list[tuple[int, int]]) -> tuple[Period, ...]:
    """So many Wh, taken in some way: the last period takes what the others leave of them."""
    told, left = [], wh
    for part, minutes in ways:
        told.append((min(part, left), minutes))
        left -= told[-1][0]
    periods = laid(told)
    return (*periods[:-1], replace(periods[-1], energy_wh=periods[-1].energy_wh + left))


def asked(wh: int, of: Tariff, mine: tuple[Voucher, ...], ways: list[tuple[int, int]]) -> int:
    """What a driver pays for such a session beside the vouchers, as its bill says; no energy is no fee."""
    if wh == 0:
        return 0
    used = Usage(wh, sum(60 * minutes for _, minutes in ways), drawn_out(wh, ways))
    used = covered(used, of, "Asia/Seoul", mine)
    return price(used, of).total_minor - used.drawn_minor


CHEAPER_WHEN_USED_UP = voucher(1, 2_000, effect={"kind": "percent_off", "percent": 5}, overuse="0")


@given(PRICES, ANY, HOLD, WAYS)
@example(parse(document(ENERGY=300)), (CHEAPER_WHEN_USED_UP, voucher(2, 900)), 500, [(1_000, 60), (0, 90)])
def test_a_session_that_stops_at_the_limit_is_paid_and_one_wh_more_is_not(
    of: Tariff, mine: tuple[Voucher, ...], hold: int, ways: list[tuple[int, int]]
) -> None:
    told = most_wh(of, hold, mine)

    if told is None:
        assert asked(ENERGY_WH_MAX, of, mine, ways) <= hold
        return
    assert asked(told, of, mine, ways) <= hold
    assert asked(told + 1, of, mine, ways) > hold


@given(PRICES, ANY, HOLD, st.integers(0, 60_000), WAYS)
def test_nothing_that_is_below_the_limit_has_to_be_paid_by_anybody_else(
    of: Tariff, mine: tuple[Voucher, ...], hold: int, wh: int, ways: list[tuple[int, int]]
) -> None:
    told = most_wh(of, hold, mine)

    assert (told is None or wh <= told) == (asked(wh, of, mine, ways) <= hold)


@given(PRICES, ANY, HOLD, st.integers(1, 5_000))
def test_more_that_is_set_aside_never_lowers_it(of: Tariff, mine: tuple[Voucher, ...], hold: int, more: int) -> None:
    before, after = most_wh(of, hold, mine), most_wh(of, hold + more, mine)

    assert after is None or (before is not None and before <= after)


@given(PRICES, st.integers(500, 20_000))
def test_without_anything_left_it_is_the_limit_of_those_who_have_no_vouchers(of: Tariff, hold: int) -> None:
    assert most_wh(of, hold, (voucher(left=0),)) == most_wh(of, hold, ()) == caps(of, hold)[0]


@pytest.mark.parametrize(
    ("mine", "hold", "wh"),
    [
        ([voucher(left=4_000)], 0, 4_001),  # a Wh is 0.3: it rounds to nothing
        ([voucher(left=4_000)], 3_000, 14_001),
        ([voucher(1, effect=FORTY)], 1_800, 10_002),
        ([voucher(1, left=5_000, effect=FORTY), voucher(2, left=3_000)], 1_200, 9_001),
        ([voucher(1, left=1_000, unit="val", total=10_000)], 500, 5_001),
        ([voucher(left=2_000, overuse="200")], 1_000, 7_002),
    ],
)
def test_known_answers(mine: list[Voucher], hold: int, wh: int) -> None:
    assert most_wh(parse(document(ENERGY=300)), hold, tuple(mine)) == wh


# -- where it is told -------------------------------------------------------------------------------------------------

PLAIN: dict[str, Any] = document(ENERGY=300)


def leaning(hold: int, *mine: Voucher, of: dict[str, Any] = PLAIN, balance: int = 0) -> Charge:
    """A running session of a driver with these vouchers."""
    it = Charge(Priced(parse(of), Split(1000)), hold, balance)
    it.world.sessions["S1", "r1"] = it.session._replace(flags=(VOUCHERS,))
    it.world.vouchers_of.add(DRIVER)
    for one in mine:
        it.world.assets.vouchers[one.id] = one._replace(driver_id=DRIVER, valid_until=NOON + timedelta(days=one.id.int))
    return it


def limit_of(it: Charge) -> Limit | None:
    return voucher_limit.told(it.world, it.session, it.priced)


def most_of(limit: Limit | None) -> int | None:
    """The Wh that a station would be told."""
    assert limit is not None and limit.vouchers is not None
    return most_wh(limit.tariff, limit.minor, limit.vouchers)


@pytest.mark.parametrize(
    "of",
    [
        document(ENERGY=300, TIME=600),
        document(ENERGY=300, PARKING_TIME=600),
        PLAIN | {"min_price": {"after_taxes": 500}},
        PLAIN | {"max_price": {"after_taxes": 500}},
        PLAIN | {"elements": [{"price_components": [{"type": "ENERGY", "price": 300, "vat": 10, "step_size": 500}]}]},
        PLAIN | {"elements": [
            {"price_components": [{"type": "ENERGY", "price": 300, "vat": 10}], "restrictions": {"max_kwh": 5}},
            {"price_components": [{"type": "ENERGY", "price": 500, "vat": 10}]},
        ]},
    ],
    ids=["time", "parking", "least", "most", "steps", "amounts"],
)  # fmt: skip
def test_a_tariff_that_asks_for_more_than_wh_and_a_fee_tells_nothing(of: dict[str, Any]) -> None:
    assert limit_of(leaning(3_000, voucher(), of=of)) is None
    assert limit_of(leaning(3_000, voucher(), of=document(ENERGY=300, FLAT=500))) is not None


@pytest.mark.parametrize("conditions", [NIGHT, {"day_of_week": ["FRIDAY"]}, {"min_power": 11}])
def test_beside_a_voucher_of_certain_hours_or_powers_nothing_is_told_though_it_is_used_up(
    conditions: dict[str, Any],
) -> None:
    conditional = voucher(2, effect=FORTY, **conditions)

    assert limit_of(leaning(3_000, voucher(left=4_000), conditional)) is None
    used_up = conditional._replace(used=conditional.total)  # a correction may fill it again, and the station would stop
    assert limit_of(leaning(3_000, voucher(left=4_000), used_up)) is None


def test_of_more_vouchers_than_are_searched_soon_nothing_is_told() -> None:
    many = [voucher(number, left=10) for number in range(1, VOUCHERS_MAX + 2)]

    assert limit_of(leaning(3_000, *many[1:])) is not None
    assert limit_of(leaning(3_000, *many)) is None


def test_vouchers_that_are_not_loaded_tell_nothing() -> None:
    it = leaning(3_000, voucher())
    it.world.vouchers_of.clear()

    assert limit_of(it) is None


def test_a_session_without_vouchers_is_told_what_it_costs_as_before() -> None:
    it = Charge(Priced(parse(PLAIN), Split(1000)), 3_000)

    assert limit_of(it) == Limit(3_000, "KRW", it.priced.tariff, None)


@given(MINE)
def test_only_what_has_something_left_counts(mine: list[Voucher]) -> None:
    left, of, ways = counting(mine), parse(PLAIN), [(4_000, 90), (0, 60)]

    assert all(one.used < one.total or one.overuse_price is not None for one in left)
    assert asked(9_000, of, left, ways) == asked(9_000, of, tuple(mine), ways)


# -- beside our own watch ---------------------------------------------------------------------------------------------


@given(
    st.lists(st.one_of(OF_WH, OF_VALUE), min_size=1, max_size=3, unique_by=lambda one: one.id),
    st.integers(0, 6_000),
    st.integers(0, 9_000),
    st.lists(st.tuples(st.integers(60, 900), st.integers(1_000, 22_000)), min_size=1, max_size=12),
)
def test_a_station_that_keeps_it_gives_energy_for_as_long_as_our_own_watch_would(
    mine: list[Voucher], hold: int, balance: int, ways: list[tuple[int, int]]
) -> None:
    it = leaning(hold, *mine, balance=balance)
    most = most_of(limit_of(it))
    seconds = wh = 0
    for apart, watts in ways:
        wanted = wh + watts * apart // 3600
        seconds, wh = seconds + apart, wanted if most is None else min(wanted, most)
        it.meter(seconds, wh)
        most = most_of(it.world.watches[it.session_id].outcome.limit)  # told with what it sends next
        if most is not None and wh >= most:
            assert it.spent
        assert asked(wh, it.priced.tariff, tuple(it.world.assets.vouchers.of("driver", DRIVER)), [(0, 60)]) <= (
            it.session.hold_minor
        )


def test_it_is_told_from_the_start_and_anew_when_more_is_set_aside() -> None:
    it = leaning(1_000, voucher(left=4_000), balance=900)
    before = most_of(limit_of(it))

    for minute in (10, 20, 21):
        it.meter(60 * minute, 330 * minute)

    assert it.told is not None
    assert (before, most_of(it.told.limit)) == (7_334, 10_334)
    assert "limit/1900" in it.errands


def shared(taken: int) -> Charge:
    """A session that is nearly spent when another one takes so many Wh of its voucher."""
    it = leaning(1_000, voucher(left=4_000))
    it.meter(600, 3_000)
    [mine] = it.world.assets.vouchers.of("driver", DRIVER)
    it.world.assets.vouchers[mine.id] = mine._replace(used=mine.used + taken)
    it.world.series[it.session_id] += (Reading(NOON + timedelta(seconds=1_200), 1, START_WH + 6_990),)
    return it


@pytest.mark.parametrize(
    ("taken", "stops"),
    [
        (0, {"stop/1000": ["energy"]}),  # the station was told where to stop, and that is still right
        (200, {"stop/1000": []}),
        (2_000, {"stop/1000": [], "stop-over/1000": ["energy"]}),
    ],
)
def test_a_stop_is_left_to_a_station_only_while_the_vouchers_pay_what_it_was_told(
    taken: int, stops: dict[str, list[str]]
) -> None:
    it = shared(taken)

    errands = it.look_at(1_210).errands

    assert {errand.key.split("/", 2)[2]: errand.payload["kept_by"] for errand in errands} == stops


def test_a_stop_is_not_left_to_a_station_by_a_process_that_has_told_it_nothing() -> None:
    it = shared(0)
    it.world.watches.clear()

    [stop] = it.look_at(1_210).errands

    assert stop.payload["kept_by"] == []


def test_a_station_that_was_told_too_much_is_told_less_and_asked_to_stop_if_it_goes_on() -> None:
    it = shared(0)
    it.look_at(1_210)
    [mine] = it.world.assets.vouchers.of("driver", DRIVER)
    it.world.assets.vouchers[mine.id] = mine._replace(used=mine.used + 2_000)

    it.meter(1_260, 7_000)
    it.meter(1_320, 7_100)

    assert it.told is not None
    assert most_of(it.told.limit) == 5_334
    assert it.errands == ["stop/1000", "stop-over/1000"]
