"""What the battery stations of a town need of a system's REST interface: who is who, and what riders' apps ask for."""

from __future__ import annotations

from collections.abc import Mapping
from fractions import Fraction
from typing import Any

from charge_points_sim.devices import presence
from charge_points_sim.prices import CURRENCY
from charge_points_sim.rest import Rest
from charge_points_sim.scenarios.lending import PRESENCE, add_driver, top_up
from charge_points_sim.scenarios.riders import SLOTS, Rider, SwapPlan

PROVIDER, SITE, TARIFF = "town-batteries", "town", "town-batteries"
ITEM_TYPE = "pack-1500"
PER_KWH_MINOR, PER_PACK_MINOR = 45, 1_00
TAX = 9.5
"""Percent."""
HOLD_MINOR, DEPOSIT_MINOR = 10_00, 20_00
DOCUMENT: Mapping[str, Any] = {
    "country_code": "US",
    "party_id": "SIM",
    "id": TARIFF,
    "currency": CURRENCY,
    "tax_included": "YES",
    "elements": [{"price_components": [{"type": "ENERGY", "price": 0.30, "vat": TAX, "step_size": 1}]}],
    "extra": {
        "battery_energy": {"tiers": [{"from": 0, "price": PER_KWH_MINOR / 100}], "vat": TAX},
        "deliveries": {"tiers": [{"from": 0, "price": PER_PACK_MINOR / 100}], "vat": TAX},
        "battery_basis": "soc",
        "deposit": DEPOSIT_MINOR // 100,
    },
    "last_updated": "2026-01-01T00:00:00Z",
    "hold": {"currency": CURRENCY, "minor": HOLD_MINOR},
}


def fee_minor(battery_wh: int) -> Fraction:
    """What so much from one pack costs in cents, tax included and not rounded, reckoned apart from the system."""
    return PER_PACK_MINOR + Fraction(PER_KWH_MINOR * battery_wh, 1_000)


async def provision(rest: Rest, plan: SwapPlan, password: str) -> dict[str, bytes]:
    """
    Adds the town (`add_town`) and its riders with money in their balances; what is there already stays.

    Answers the stations' secrets, which are new each time. Raises `RestError`.
    """
    secrets = await add_town(rest, plan, password)
    for rider in plan.riders:
        await add_driver(rest, rider)
        await top_up(rest, rider)
    return secrets


async def add_town(rest: Rest, plan: SwapPlan, password: str) -> dict[str, bytes]:
    """
    Adds provider, site, tariff, stations and packs; what is there already stays. Raises `RestError`.

    Answers the stations' secrets, which are new each time.
    """
    terms = {"operator_bp": 1_000, "operator_fixed_minor": 0}
    provider = {"id": PROVIDER, "name": "Town batteries", "psp_accounts": {"social": PROVIDER}, "terms": terms}
    await rest.add("/providers", provider)
    await rest.add("/tariffs", DOCUMENT)
    site = {"id": SITE, "provider": PROVIDER, "name": "Town", "time_zone": "America/Los_Angeles"}
    await rest.add("/sites", site)
    slots = [{"number": u, "kind": "slot", "max_power_w": plan.traits.max_power_w} for u in range(1, SLOTS + 1)]
    secrets: dict[str, bytes] = {}
    for station, packs in plan.packs().items():
        place = {"provider": PROVIDER, "site": SITE, "tariff": TARIFF, "password": password}
        await rest.add("/stations", {"id": station, "kind": "battery_station", **place, "connectors": slots})
        secret = await rest.call("PUT", f"/stations/{station}/presence", PRESENCE)
        secrets[station] = presence.secret_of(secret["secret"])
        for pack in packs.values():
            known = {"type": ITEM_TYPE, "serial": pack.serial, "capacity_wh": pack.capacity_wh}
            await rest.add("/items", {"code": pack.code, "kind": "battery", "provider": PROVIDER, **known})
    return secrets


class StaffSwapApp:
    """
    The app of `SwapApp`, with the rights of staff: it says who the riders are by their tokens.

    They prove by the code on its screen that they stand before a station. `secrets` is what `provision` answered.
    """

    def __init__(self, rest: Rest, secrets: Mapping[str, bytes]) -> None:
        self._rest = rest
        self._secrets = secrets

    async def rent(self, rider: Rider, station: str, now: int) -> str:
        """Rents any pack of a station; the rental's id."""
        body = {"station": station, "item_type": ITEM_TYPE, "token": rider.token, "proof": self._proof(station, now)}
        return str((await self._rest.post("/rentals", body, key=f"rent-{rider.token}-{now}"))["id"])

    async def swap(self, rider: Rider, station: str, count: int, now: int) -> None:
        """Wants packs for as many that are brought."""
        body = {"station": station, "count": count, "token": rider.token, "proof": self._proof(station, now)}
        await self._rest.post("/swaps", body, key=f"swap-{rider.token}-{now}")

    async def give_back(self, rider: Rider, pack: str, station: str, now: int) -> None:
        """Wants a free slot opened for a pack, whose rental is looked up by its code."""
        held = await self._rest.all(f"/rentals?driver={rider.driver}&item={pack}")
        rental = next(one["id"] for one in held if one["taken_at"] is not None and one["returned_at"] is None)
        body = {"station": station, "proof": self._proof(station, now)}
        await self._rest.post(f"/rentals/{rental}/return", body, key=f"return-{rental}-{now}")

    async def state(self, rental: str) -> str:
        """How the rental stands."""
        return str((await self._rest.get(f"/rentals/{rental}"))["state"])

    def _proof(self, station: str, now: int) -> dict[str, Any]:
        return {"totp": {"code": presence.code(self._secrets[station], now)}}
