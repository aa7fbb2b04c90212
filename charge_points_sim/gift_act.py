"""The end of the fourth act of the demo: a voucher that is given away, used by whoever holds its code to a station."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any

from charge_points_sim.agreement import Finding, money
from charge_points_sim.habit import STATION
from charge_points_sim.lending_act import Stage
from charge_points_sim.prices import CURRENCY, Price
from charge_points_sim.scenarios.charge import Charge
from charge_points_sim.scenarios.drivers import Driver
from charge_points_sim.times import epoch, wire

WORTH_MINOR = 10_00
UNTIL_S = int(timedelta(days=30).total_seconds())

Live = Callable[[Sequence[Charge], Driver], Awaitable[list[str]]]
"""Lives charges of a driver at their station; answers what went wrong."""


async def give(stage: Stage, provider: str, price: Price, charge: Charge, live: Live) -> list[Finding]:
    """Tells it: a code, and a guest with nothing else who charges with it. Raises `RestError`."""
    rest, worth = stage.rest, {"currency": CURRENCY, "minor": WORTH_MINOR}
    gift = {"id": "welcome", "provider": provider, "name": "Welcome", "unit": "val", "amount": WORTH_MINOR}
    await rest.post("/voucher-products", {**gift, "price": worth, "valid_days": 30, "on_sale": False})
    batch = {"id": "welcome", "product": "welcome", "count": 1, "funded_by": "operator"}
    until = wire(charge.arrival + UNTIL_S)
    made = await rest.post("/voucher-batches", {**batch, "redeem_until": until}, key="welcome")
    stage.terminal.step(
        f"staff give away a code worth {money(WORTH_MINOR)}; a guest holds it to {STATION}, and charges"
    )
    if wrong := await live([charge], Driver("guest", "balance", made["codes"][0].replace("-", ""))):
        return [Finding(False, text) for text in wrong]
    bills = [bill for bill in await rest.all("/bills") if _is_of(bill, charge)]
    funded = (await rest.get("/voucher-batches/welcome"))["funded"]["minor"]
    fee = price.fee_minor(charge)
    return [
        Finding(
            [bill["total"]["minor"] for bill in bills] == [fee] and funded == fee,
            f"the guest paid nothing: the {money(fee)} that the charge costs came from who gave the code",
        )
    ]


def _is_of(bill: dict[str, Any], charge: Charge) -> bool:
    return bill["station"] == charge.station_id and epoch(bill["started_at"]) == charge.arrival
