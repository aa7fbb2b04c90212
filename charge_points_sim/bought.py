"""What became of a driver's voucher, as the system tells it, and whether it is what our own sums make of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from charge_points_sim.agreement import Finding, money
from charge_points_sim.prices import Price
from charge_points_sim.rest import Rest
from charge_points_sim.saved import Reckoned, Tried, reckon, released_minor, try_out
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.times import epoch

Row = Mapping[str, Any]
LEFT_OUT = ("COVERED", "VOUCHER")
"""Lines of a bill that are there for a voucher."""
GAIN_MIN, OFFERS_MAX = Fraction(60, 100), 3
"""Whoever is offered something saves in so many of the windows; and at most so much is offered."""


@dataclass(frozen=True, slots=True)
class Bought:
    """A driver's vouchers, of which the first has its uses, the bills of the charges since, and what they must be."""

    vouchers: Sequence[Row]
    voucher: Row
    bills: Sequence[Row]
    reckoned: Sequence[Reckoned]
    balance: Row

    @property
    def saved_minor(self) -> int:
        """What all bills would have come to without the voucher, less what was paid, less all of its price."""
        without, paid, _, _ = (sum(amounts[place] for _, _, amounts in self.told()) for place in range(4))
        return without - paid - int(self.voucher["price"]["minor"])

    def use(self, bill: Row) -> Row | None:
        """What the voucher gave for a bill."""
        return next((use for use in self.voucher["uses"] if use["session"] == bill["session"]), None)

    def told(self) -> Iterator[tuple[Row, int, tuple[int, int, int, int]]]:
        """Each bill, the Wh covered, and in cents: the price without a voucher, paid now, by the voucher, saved."""
        for bill in self.bills:
            use = self.use(bill)
            units, earned = (0, 0) if use is None else (use["units"], use["released"]["minor"])
            fee, without = bill["total"]["minor"], without_minor(bill)
            yield bill, units, (without, fee - earned, earned, without - fee)


def without_minor(bill: Row) -> int:
    """What a bill's lines come to without those of vouchers, in cents, rounded once, half up."""
    exact = sum(
        (Fraction(str(line["incl_vat"])) for line in bill["lines"] if line["dimension"] not in LEFT_OUT), Fraction(0)
    )
    return int(exact * 100 + Fraction(1, 2))


async def read(rest: Rest, driver: str, charges: Sequence[Charge], price: Price) -> Bought:
    """Asks for it. Raises `RestError`."""
    vouchers = await rest.all(f"/drivers/{driver}/vouchers")
    voucher = await rest.get(f"/drivers/{driver}/vouchers/{vouchers[-1]['id']}")
    bills = [
        bill for bill in await rest.all(f"/bills?driver={driver}") if epoch(bill["started_at"]) >= charges[0].arrival
    ]
    balances = (await rest.get(f"/drivers/{driver}/balance"))["balances"]
    return Bought(
        vouchers,
        voucher,
        sorted(bills, key=lambda bill: str(bill["started_at"])),
        reckon(charges, price, voucher, voucher["total"]),
        balances[0],
    )


def try_all(asked: Row, charges: Sequence[Charge], price: Price, products: Sequence[Row]) -> dict[str, Tried]:
    """What each product would have meant on these charges' readings when it was asked, by our own sums; best first."""
    now, days = epoch(asked["asked_at"]), asked["days"]
    tried = {product["id"]: try_out(charges, price, product, now, days) for product in products}
    return dict(sorted(tried.items(), key=lambda one: (-one[1].expected_minor, -one[1].worst_minor)))


def offer_findings(asked: Row, tried: Mapping[str, Tried]) -> list[Finding]:
    """Compares every offer with our own sums (`try_all`)."""
    offers, windows = asked["offers"], asked["offers"][0]["windows"]
    figures = all(
        (offer["expected"]["minor"], offer["worst"]["minor"], offer["windows"])
        == (own.expected_minor, own.worst_minor, len(own.nets))
        for offer, own in ((offer, tried[offer["product"]]) for offer in offers)
    )
    good = [id for id, own in tried.items() if own.expected_minor > 0 and own.gain >= GAIN_MIN][:OFFERS_MAX]
    offered = [offer["product"] for offer in offers if offer["recommended"]]
    return [
        Finding(figures, f"what is expected, and the worst, is what our own sums make of {windows} times two weeks"),
        Finding(
            bool(good) and offered == good,
            f"{len(good)} of the {len(tried)} products save money by those sums, and they are offered, best first",
        ),
    ]


def findings(bought: Bought) -> list[Finding]:
    """Compares bills, uses and what has been earned with our own sums, and the balance with the bills."""
    voucher, reckoned = bought.voucher, bought.reckoned
    told = list(bought.told())
    once = [(epoch(bill["started_at"]), bill["energy_wh"]) for bill in bought.bills] == [
        (one.charge.arrival, one.charge.delivered_wh) for one in reckoned
    ]
    covered = sum(one.covered_wh for one in reckoned)
    units = [units for _, units, _ in told] == [one.covered_wh for one in reckoned]
    amounts = [amounts for _, _, amounts in told] == [
        (one.price_minor, one.paid_minor, one.released_minor, one.saved_minor) for one in reckoned
    ]
    whole, used, total = voucher["price"]["minor"], voucher["used"], voucher["total"]
    earned = released_minor(whole, total, used)
    values = [one.value_minor - one.released_minor for one in reckoned if one.covered_wh]
    uses = sorted(voucher["uses"], key=lambda use: str(use["at"]))
    saved = sum(one.saved_minor for one in reckoned)
    return [
        Finding(once, f"each of the {len(reckoned)} charges is billed once, with the Wh that the station told"),
        Finding(
            units and used == covered == sum(use["units"] for use in voucher["uses"]),
            f"{used:,} Wh were taken of the voucher: those that it covers by our own sums, charge by charge",
        ),
        Finding(amounts, f"price, paid, earned and saved are what our own sums say: {money(saved)} saved"),
        Finding(
            [use["saved"]["minor"] for use in uses] == values,
            f"so is what each use says that it saved: {money(sum(values))}, each rounded by itself",
        ),
        Finding(
            (voucher["released"]["minor"], voucher["deferred"]["minor"]) == (earned, whole - earned),
            f"of its price {money(earned)} are earned, as {used:,} of {total:,} are used, {money(whole - earned)} owed",
        ),
    ]


def balance_finding(bought: Bought, before_minor: int) -> Finding:
    """Whether the balance is less by what was paid since it was `before_minor`, and nothing else."""
    paid = sum(amounts[1] for _, _, amounts in bought.told())
    rest = [bought.balance[name]["minor"] for name in ("held", "debt", "refunding")]
    return Finding(
        bought.balance["balance"]["minor"] == before_minor - paid and not any(rest),
        f"the balance is less by the {money(paid)} that were paid since; nothing is held or owed",
    )
