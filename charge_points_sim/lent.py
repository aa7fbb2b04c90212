"""What became of borrowers' visits, as the system and the social-payment server tell it, and whether it is right."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from charge_points_sim.agreement import Finding, money
from charge_points_sim.rest import Rest
from charge_points_sim.scenarios.lending import HELD_MINOR, HOST_BP, TOP_UP_MINOR, fees_minor, host_minor
from charge_points_sim.scenarios.visits import Visit
from charge_points_sim.social.client import SocialClient
from charge_points_sim.times import epoch

ARRIVES_S_MAX = 60
"""So long, on the wall, a refund may be on its way."""
Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Lent:
    """
    A visit, and what is told of its driver: all rentals, newest first, all bills, and the balance.

    `payment` is at the social-payment server, where `refunded_minor` of it went back; None who paid in otherwise.
    """

    visit: Visit
    rentals: Sequence[Row]
    bills: Sequence[Row]
    balance: Row
    payment: str | None
    refunded_minor: int

    @property
    def rental(self) -> Row:
        """The visit's own."""
        return self.rentals[0]

    @property
    def held_s(self) -> int:
        """How long the charger was out."""
        return epoch(self.rental["returned_at"]) - epoch(self.rental["taken_at"])

    @property
    def for_rental(self) -> list[Row]:
        """The bills of the rental."""
        return [bill for bill in self.bills if bill["session"] == self.rental["id"]]

    @property
    def for_energy(self) -> list[Row]:
        """The bills of the charge."""
        return [bill for bill in self.bills if bill["session"] != self.rental["id"]]

    @property
    def rental_minor(self) -> int:
        """What holding the charger cost."""
        return _sum(self.for_rental, "total")

    @property
    def energy_minor(self) -> int:
        """What the energy cost."""
        return _sum(self.for_energy, "total")

    @property
    def host_minor(self) -> int:
        """What the host of the outlet gets."""
        return _sum(self.bills, "host_share")


async def read(rest: Rest, social: SocialClient, visit: Visit, payment: str | None) -> Lent:
    """Asks both; a refund is waited for. Raises `RestError`."""
    rentals = await rest.all(f"/rentals?driver={visit.driver}")
    bills = await rest.all(f"/bills?driver={visit.driver}")
    back = 0
    if payment is not None:
        back = await _arrived(social, payment, HELD_MINOR - _sum(bills, "total"))
    balances = (await rest.get(f"/drivers/{visit.driver}/balance"))["balances"]
    return Lent(visit, rentals, bills, balances[0], payment, back)


async def _arrived(social: SocialClient, payment: str, wanted_minor: int) -> int:
    """What went back of a payment, once it is all or a while is over."""
    deadline_s = time.monotonic() + ARRIVES_S_MAX
    while True:
        minor = await social.given_back(payment)
        if minor >= wanted_minor or time.monotonic() > deadline_s:
            return minor
        await asyncio.sleep(0.1)


def findings(lent: Sequence[Lent]) -> list[Finding]:
    """Compares bills with the tariff, reckoned anew from the visits, and the money with the bills."""
    once = all(
        [rental["state"] for rental in one.rentals] == ["closed"]
        and (len(one.for_rental), len(one.for_energy)) == (1, 1)
        and one.for_energy[0]["energy_wh"] == one.visit.wh
        for one in lent
    )
    fees = all((one.rental_minor, one.energy_minor) == fees_minor(one.visit) for one in lent)
    shares = all(
        _sum(one.for_rental, "host_share") == 0 and one.host_minor == host_minor(one.energy_minor) for one in lent
    )
    whole = all(
        bill["host_share"]["minor"] + bill["operator_share"]["minor"] + bill["provider_share"]["minor"]
        == bill["total"]["minor"]
        for one in lent
        for bill in one.bills
    )
    back = [one for one in lent if one.payment is not None]
    kept = [one for one in lent if one.payment is None]
    returned = sum(one.refunded_minor for one in back)
    return [
        Finding(once, f"each rental is closed and billed once, and so is its charge: {_count(lent)} bills"),
        Finding(fees, "every fee is what the tariff makes of the visit's time and energy, reckoned anew"),
        Finding(
            shares and whole,
            f"the host gets {HOST_BP / 100:g} % of what each charge costs, {money(sum(map(_host, lent)))}; "
            "no share is lost",
        ),
        Finding(
            bool(back) and all(_is_spent(one, HELD_MINOR - one.refunded_minor, 0) for one in back),
            f"{money(returned)} that were held and not spent went back: the social-payment server's journal says so",
        ),
        Finding(
            all(_is_spent(one, _fees(one), TOP_UP_MINOR - _fees(one)) for one in kept),
            f"who wanted no refund has it in the balance: {money(sum(_balance(one) for one in kept))}",
        ),
    ]


def _is_spent(one: Lent, paid_minor: int, balance_minor: int) -> bool:
    """Whether a driver's fees are `paid_minor`, the balance is as it should be, and nothing is held or owed."""
    rest = [one.balance[name]["minor"] for name in ("held", "debt", "refunding")]
    return _fees(one) == paid_minor and _balance(one) == balance_minor and not any(rest)


def _fees(one: Lent) -> int:
    return one.rental_minor + one.energy_minor


def _balance(one: Lent) -> int:
    return int(one.balance["balance"]["minor"])


def _host(one: Lent) -> int:
    return one.host_minor


def _count(lent: Sequence[Lent]) -> int:
    return sum(len(one.bills) for one in lent)


def _sum(bills: Sequence[Row], name: str) -> int:
    return sum(int(bill[name]["minor"]) for bill in bills)
