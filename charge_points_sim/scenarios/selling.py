"""What vehicles that buy vouchers need of a system's REST interface: who is who, what is on sale, what came of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from typing import Any

from charge_points_sim.prices import CURRENCY
from charge_points_sim.rest import Rest, RestError
from charge_points_sim.scenarios.charge import MAX_POWER_W
from charge_points_sim.scenarios.vehicles import SITE, Vehicle, VoucherPlan
from charge_points_sim.scenarios.voucher import Used

PROVIDER, TARIFF = "voucher-charging", "voucher-charging"
PER_KWH_MINOR, HOLD_MINOR, TOP_UP_MINOR = 30, 20_00, 300_00
KNOWN_S_MAX = 60
"""So long, on the wall, it may take until the system has looked at all sessions: it does every five seconds."""
TAX = 9.5
"""Percent."""
DOCUMENT: Mapping[str, Any] = {
    "country_code": "US",
    "party_id": "SIM",
    "id": TARIFF,
    "currency": CURRENCY,
    "tax_included": "YES",
    "elements": [{"price_components": [{"type": "ENERGY", "price": PER_KWH_MINOR / 100, "vat": TAX, "step_size": 1}]}],
    "last_updated": "2026-01-01T00:00:00Z",
    "hold": {"currency": CURRENCY, "minor": HOLD_MINOR},
}
PRODUCTS: Sequence[tuple[str, str, int, int, Mapping[str, Any]]] = (
    (
        "sim-nights", "40 % off from 21 to 7 h", 100_000, 3_95,
        {"effect": {"kind": "percent_off", "percent": 40},
         "conditions": {"start_time": "21:00", "end_time": "07:00"}},
    ),
    ("sim-weekends", "weekends free to 30 kWh", 30_000, 3_95, {"conditions": {"day_of_week": ["SATURDAY", "SUNDAY"]}}),
    ("sim-fifty", "50 kWh", 50_000, 12_50, {}),
    ("sim-much", "150 kWh", 150_000, 21_00, {}),
)  # fmt: skip
"""Id, name, Wh, price and terms: like those of docs/explanation/offers.md, for 14 days."""


async def provision(rest: Rest, plan: VoucherPlan, password: str) -> None:
    """Adds all that the plan needs, and products; what is there already stays. Raises `RestError`."""
    terms = {"operator_bp": 1_000, "operator_fixed_minor": 0}
    await rest.add("/providers", {"id": PROVIDER, "name": "Voucher charging", "terms": terms})
    await rest.add("/sites", {"id": SITE, "provider": PROVIDER, "name": "Vouchers", "time_zone": "UTC"})
    await rest.add("/tariffs", DOCUMENT)
    for id, name, wh, minor, terms_of in PRODUCTS:
        product = {"id": id, "provider": PROVIDER, "name": name, "unit": "wh", "amount": wh, "valid_days": 14}
        price = {"currency": CURRENCY, "minor": minor}
        await rest.add("/voucher-products", {**product, "price": price, "vat_percent": str(TAX), **terms_of})
    for vehicle in plan.vehicles:
        await _add_vehicle(rest, vehicle, password)


async def _add_vehicle(rest: Rest, vehicle: Vehicle, password: str) -> None:
    """Its station, and its driver with a card and money; staff say whose the vehicle is."""
    place = {"provider": PROVIDER, "site": SITE, "tariff": TARIFF, "password": password}
    connector = {"number": 1, "kind": "outlet", "max_power_w": MAX_POWER_W}
    await rest.add("/stations", {"id": vehicle.station, **place, "connectors": [connector]})
    name, token = vehicle.driver.name, vehicle.driver.token
    await rest.add("/drivers", {"id": name, "name": name})
    await rest.add(f"/drivers/{name}/tokens", {"value": token, "type": "rfid", "status": "accepted"})
    await rest.add(f"/drivers/{name}/vehicles", {"type": "EVCCID", "value": vehicle.evccid})
    key = f"first-{name}-{token}"
    top_up = {"amount": {"currency": CURRENCY, "minor": TOP_UP_MINOR}, "psp": "card", "payment_ref": key}
    await rest.post(f"/drivers/{name}/top-ups", top_up, key=key)


class StaffDesk:
    """The desk of `Desk`, with the rights of staff."""

    def __init__(self, rest: Rest) -> None:
        self._rest = rest

    async def known(self, vehicle: Vehicle, sessions: int) -> bool:
        """Waits until so many sessions are known of how its driver charges; False if that takes too long."""
        deadline_s = time.monotonic() + KNOWN_S_MAX
        while time.monotonic() < deadline_s:
            try:
                if (await self._rest.get(f"/drivers/{vehicle.driver.name}/tendency"))["sessions"] >= sessions:
                    return True
            except RestError as error:
                if error.status != 404:
                    raise
            await asyncio.sleep(0.2)
        return False

    async def used(self, vehicle: Vehicle) -> Used:
        """What became of its driver's vouchers."""
        path = f"/drivers/{vehicle.driver.name}/vouchers"
        vouchers = [await self._rest.get(f"{path}/{one['id']}") for one in await self._rest.all(path)]
        uses = [use for voucher in vouchers for use in voucher["uses"]]
        return Used(
            sum(use["units"] for use in uses),
            sum(use["released"]["minor"] for use in uses),
            sum(use["saved"]["minor"] for use in uses),
        )
