"""What became of riders' packs, as the system tells it, and whether that is what the packs have been through."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from fractions import Fraction
from typing import Any, NamedTuple

from charge_points_sim.agreement import Finding, money
from charge_points_sim.devices.pack import FULL
from charge_points_sim.rest import Rest
from charge_points_sim.scenarios.renting import fee_minor
from charge_points_sim.scenarios.riders import CAPACITY_WH

APART_WH_MAX = 1
"""Levels have steps of 1/100 %, a seventh of a Wh, and what lies between two of them is billed as whole Wh."""
Row = Mapping[str, Any]


class Ride(NamedTuple):
    """A driver took so many Wh out of a pack."""

    driver: str
    item: str
    wh: int


@dataclass(frozen=True, slots=True)
class Rode:
    """A rider: what the packs gave on each ride, and what the system tells; rentals and swaps the oldest first."""

    driver: str
    rides: Sequence[Ride]
    rentals: Sequence[Row]
    swaps: Sequence[Row]
    bills: Sequence[Row]
    vouchers: Sequence[Row]
    balance: Row

    @property
    def back(self) -> list[Row]:
        """The rentals whose packs came back."""
        return [one for one in self.rentals if one["taken_at"] is not None and one["returned_at"] is not None]

    @property
    def out(self) -> list[Row]:
        """The rentals of the packs that the rider has."""
        return [one for one in self.rentals if one["taken_at"] is not None and one["returned_at"] is None]

    @property
    def given_wh(self) -> int:
        """What the packs that came back have given."""
        items = {rental["item"] for rental in self.back}
        return sum(ride.wh for ride in self.rides if ride.item in items)

    @property
    def billed_wh(self) -> int:
        """What was billed of that."""
        return sum(rental["battery_wh"] or 0 for rental in self.back)

    @property
    def fees_minor(self) -> int:
        """All fees together."""
        return sum(int(bill["total"]["minor"]) for bill in self.bills)

    @property
    def uses(self) -> dict[str, list[Row]]:
        """Rental -> what it took of vouchers."""
        found: dict[str, list[Row]] = {}
        for voucher in self.vouchers:
            for use in voucher["uses"]:
                found.setdefault(use["session"], []).append(use)
        return found

    @property
    def released_minor(self) -> int:
        """What vouchers have released of their price."""
        return sum(int(voucher["released"]["minor"]) for voucher in self.vouchers)

    @property
    def held_minor(self) -> int:
        """What is set aside of the balance."""
        return int(self.balance["held"]["minor"])

    def bills_of(self, rental: Row) -> list[Row]:
        """The bills of one pack."""
        return [bill for bill in self.bills if bill["session"] == rental["id"]]


async def read(rest: Rest, driver: str, rides: Iterable[Ride]) -> Rode:
    """Asks for all there is to know of a rider. Raises `RestError`."""
    of = f"/drivers/{driver}"
    rentals, swaps, bills, bought, balance = await asyncio.gather(
        rest.all(f"/rentals?driver={driver}"),
        rest.all(f"/swaps?driver={driver}"),
        rest.all(f"/bills?driver={driver}"),
        rest.all(f"{of}/vouchers"),
        rest.get(f"{of}/balance"),
    )
    vouchers = [await rest.get(f"{of}/vouchers/{voucher['id']}") for voucher in bought]
    own = [ride for ride in rides if ride.driver == driver]
    return Rode(driver, own, rentals[::-1], swaps[::-1], bills, vouchers, balance["balances"][0])


def findings(rode: Sequence[Rode], openings: Sequence[Row]) -> list[Finding]:
    """Compares bills with packs, tariff and vouchers, and the trail of `openings` with the bills."""
    back, out = [(one, rental) for one in rode for rental in one.back], [rental for one in rode for rental in one.out]
    bills = sum(len(one.bills) for one in rode)
    once = all(len(one.bills_of(rental)) == 1 for one, rental in back) and bills == len(back)
    billed, given = sum(one.billed_wh for one in rode), sum(one.given_wh for one in rode)
    pairs = [pair for one in rode for pair in _before(one, openings)]
    units, uses = _units(rode)
    held = sum(one.held_minor for one in rode)
    step_wh = CAPACITY_WH / FULL
    return [
        Finding(once, f"each of {len(back)} packs that came back has one bill, the {len(out)} that are out have none"),
        Finding(
            bool(back) and all(map(_is_exact, rode)),
            f"{billed:,} Wh are billed by level, the packs gave {given:,}: no bill is more than {APART_WH_MAX} Wh off "
            f"(levels have steps of {step_wh:g} Wh)",
        ),
        Finding(
            once and all(_fee(one, rental) == one.bills_of(rental)[0]["total"]["minor"] for one, rental in back),
            "every fee is what the tariff makes of its pack and its Wh, less what vouchers cover, reckoned anew",
        ),
        Finding(
            bool(pairs) and all(billed <= released <= taken for billed, released, taken in pairs),
            f"no pack was released before the bill of the one put in for it: {len(pairs)} times, "
            "by the trail of openings",
        ),
        Finding(
            bool(uses) and all(map(_is_used_up_to, (voucher for one in rode for voucher in one.vouchers)))
            and all(_is_on_the_bill(one) for one in rode),
            f"{len(uses)} uses of vouchers took {units:,} Wh, and released "
            f"{money(sum(one.released_minor for one in rode))}: vouchers and bills say so",
        ),
        Finding(
            all(one.held_minor == sum(int(rental["hold"]["minor"]) for rental in one.out) for one in rode)
            and not any(int(one.balance[name]["minor"]) for one in rode for name in ("debt", "refunding")),
            f"nothing is held but {money(held)} for the {len(out)} packs that are out; nobody owes anything",
        ),
    ]  # fmt: skip


def _is_exact(one: Rode) -> bool:
    """Whether each pack's bills have what it gave to this rider, within the steps of its level."""
    for item in {rental["item"] for rental in one.back}:
        rentals = [rental for rental in one.back if rental["item"] == item]
        given = sum(ride.wh for ride in one.rides if ride.item == item)
        billed = sum(rental["battery_wh"] or 0 for rental in rentals)
        if abs(given - billed) > APART_WH_MAX * len(rentals):
            return False
    return True


def _fee(one: Rode, rental: Row) -> int:
    """What a pack must cost in cents: rounded once, halves up."""
    uses = one.uses.get(rental["id"], [])
    beyond = rental["battery_wh"] - sum(use["units"] for use in uses)
    return int(fee_minor(beyond) + sum(int(use["released"]["minor"]) for use in uses) + Fraction(1, 2))


def _before(one: Rode, openings: Sequence[Row]) -> list[tuple[datetime, datetime, datetime]]:
    """Of each pack handed out for another: when the last one put in was billed, when it was released, and taken."""
    found = []
    for swap in one.swaps:
        brought = {pack["rental"] for pack in swap["packs_in"]}
        bills = [_at(bill["issued_at"]) for bill in one.bills if bill["session"] in brought]
        for pack in swap["packs_out"]:
            given = [one for one in openings if one["rental"] == pack["rental"] and one["why"] == "take"]
            found += [(max(bills), _at(o["issued_at"]), _at(o["opened_at"])) for o in given if bills and o["opened_at"]]
    return found


def _units(rode: Sequence[Rode]) -> tuple[int, list[Row]]:
    """The units that vouchers say were used, and the uses."""
    vouchers = [voucher for one in rode for voucher in one.vouchers]
    return sum(voucher["used"] for voucher in vouchers), [use for voucher in vouchers for use in voucher["uses"]]


def _is_used_up_to(voucher: Row) -> bool:
    """Whether what is used and released of a voucher is the sum of its uses."""
    uses = voucher["uses"]
    units, released = sum(use["units"] for use in uses), sum(use["released"]["minor"] for use in uses)
    return bool((units, released) == (voucher["used"], voucher["released"]["minor"]))


def _is_on_the_bill(one: Rode) -> bool:
    """Whether each bill of a rider says of vouchers what the vouchers say of its pack."""
    for bill in one.bills:
        uses = one.uses.get(bill["session"], [])
        lines = [line for line in bill["lines"] if line["dimension"] == "VOUCHER"]
        if sum(use["units"] for use in uses) != sum(int(line["quantity"]) for line in lines):
            return False
        released = sum(int(use["released"]["minor"]) for use in uses)
        if released != 100 * sum(Fraction(line["incl_vat"]) for line in lines):
            return False
    return True


def _at(instant: str) -> datetime:
    return datetime.fromisoformat(instant)
