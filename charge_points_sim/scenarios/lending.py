"""What the street of lockers needs of a system's REST interface: who is who, and what drivers' apps ask for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from charge_points_sim.devices import presence
from charge_points_sim.prices import CURRENCY
from charge_points_sim.rest import Rest
from charge_points_sim.scenarios.visits import OUTLETS, Plan, Visit

PROVIDER, SITE, TARIFF = "street-lending", "street", "street-lending"
HOST, HOST_BP = "The house on the corner", 500
"""Who gives the electricity at the street's outlets, and the share of the fee for it."""
MAX_POWER_W = 7_400
HOLD_MINOR = 30_00
DEPOSIT_MINOR = 40_00
HELD_MINOR = DEPOSIT_MINOR + 2 * HOLD_MINOR
"""Set aside of whoever rents a charger and charges with it: the deposit, and a hold for each."""
TOP_UP_MINOR = 200_00
ITEM_TYPE = "portable-7kw"
PRESENCE = {"methods": ["totp", "ble"], "generate_secret": True}
ANSWER_S_MAX = 10
TAX = 9.5
"""Percent."""
DOCUMENT: Mapping[str, Any] = {
    "country_code": "US",
    "party_id": "SIM",
    "id": TARIFF,
    "currency": CURRENCY,
    "tax_included": "YES",
    "elements": [{"price_components": [{"type": "ENERGY", "price": 0.30, "vat": TAX, "step_size": 1}]}],
    "extra": {
        "held_time": {
            "tiers": [{"from": 0, "fee": 0.5}, {"from": 1_800, "fee": 1.5}, {"from": 86_400, "fee": 6}],
            "vat": TAX,
        },
        "late": {"tiers": [{"from": 0, "fee": 0}, {"from": 1, "fee": 2}, {"from": 86_400, "fee": 8}], "vat": TAX},
        "deposit": DEPOSIT_MINOR // 100,
        "deemed_purchase": {"after": 604_800, "price": 35, "vat": TAX},
        "due_after": 86_400,
        "grace": 1_800,
        "free_within": 300,
    },
    "last_updated": "2026-01-01T00:00:00Z",
    "hold": {"currency": CURRENCY, "minor": HOLD_MINOR},
}


class Person(Protocol):
    """Who rents: a driver with a card."""

    @property
    def driver(self) -> str:
        """The driver's id."""

    @property
    def token(self) -> str:
        """The card."""


def fees_minor(visit: Visit) -> tuple[int, int]:
    """What a visit must cost in cents, reckoned apart from the system: holding the charger, and the energy."""
    held = 50 if visit.minutes < 30 else 150
    return held, (visit.wh * 30 + 500) // 1_000


def host_minor(fee_minor: int) -> int:
    """The host's share of a charge's fee, in cents."""
    return (fee_minor * HOST_BP + 5_000) // 10_000


async def provision(rest: Rest, plan: Plan, password: str) -> dict[str, bytes]:
    """
    Adds the street (`add_street`) and its drivers with money in their balances; what is there already stays.

    Answers the cabinets' secrets, which are new each time. Raises `RestError`.
    """
    secrets = await add_street(rest, plan, password)
    for visit in plan.visits:
        await add_driver(rest, visit)
        await top_up(rest, visit)
    return secrets


async def add_street(rest: Rest, plan: Plan, password: str) -> dict[str, bytes]:
    """
    Adds provider, site, outlets, cabinets and chargers; what is there already stays. Raises `RestError`.

    Answers the cabinets' secrets, which are new each time.
    """
    secrets: dict[str, bytes] = {}
    terms = {"operator_bp": 1_000, "operator_fixed_minor": 0}
    await rest.add(
        "/providers",
        {"id": PROVIDER, "name": "Street lending", "psp_accounts": {"social": PROVIDER}, "terms": terms},
    )
    await rest.add("/tariffs", DOCUMENT)
    site = {"id": SITE, "provider": PROVIDER, "name": "Street", "time_zone": "America/Los_Angeles"}
    await rest.add("/sites", {**site, "host_bp": HOST_BP, "host_name": HOST})
    for number in range(1, OUTLETS + 1):
        await rest.call("PUT", f"/sites/{SITE}/outlets/OUTLET-{number}")
    doors = [{"number": u, "kind": "door"} for u in range(1, plan.doors + 1)]
    for cabinet, items in plan.items().items():
        place = {"provider": PROVIDER, "site": SITE, "tariff": TARIFF, "password": password}
        await rest.add("/stations", {"id": cabinet, "kind": "locker", **place, "connectors": doors})
        secret = await rest.call("PUT", f"/stations/{cabinet}/presence", PRESENCE)
        secrets[cabinet] = presence.secret_of(secret["secret"])
        for code in items.values():
            await _add_charger(rest, code, password)
    return secrets


async def _add_charger(rest: Rest, code: str, password: str) -> None:
    """A portable charger is an item and, while it is plugged in, a station of that name."""
    connector = {"number": 1, "kind": "portable", "max_power_w": MAX_POWER_W}
    station = {"id": code, "provider": PROVIDER, "tariff": TARIFF, "password": password, "connectors": [connector]}
    await rest.add("/stations", station)
    await rest.add("/items", {"code": code, "kind": "portable", "type": ITEM_TYPE, "provider": PROVIDER})


async def add_driver(rest: Rest, visit: Person) -> None:
    """Adds who visits, with a card. Raises `RestError`."""
    await rest.add("/drivers", {"id": visit.driver, "name": visit.driver})
    await rest.add(f"/drivers/{visit.driver}/tokens", {"value": visit.token, "type": "rfid", "status": "accepted"})


async def top_up(rest: Rest, visit: Person, minor: int = TOP_UP_MINOR) -> None:
    """Puts money, which staff vouch for, into the balance of who visits. Raises `RestError`."""
    key = f"first-{visit.driver}-{visit.token}"
    top_up = {"amount": {"currency": CURRENCY, "minor": minor}, "psp": "card", "payment_ref": key}
    await rest.post(f"/drivers/{visit.driver}/top-ups", top_up, key=key)


class StaffApp:
    """
    The app of `App`, with the rights of staff: it says who the drivers are by their tokens.

    They prove that they stand before a cabinet all the same, by the code on its screen when they take and by what
    it sends by radio when they return. `secrets` is what `provision` answered.
    """

    def __init__(self, rest: Rest, secrets: Mapping[str, bytes]) -> None:
        self._rest = rest
        self._secrets = secrets

    async def rent(self, visit: Visit, station: str, now: int) -> str:
        """Rents any charger of a cabinet; the rental's id."""
        proof = {"totp": {"code": presence.code(self._secrets[station], now)}}
        body = {"station": station, "item_type": ITEM_TYPE, "token": visit.token, "proof": proof}
        return str((await self._rest.post("/rentals", body, key=f"rent-{visit.token}-{now}"))["id"])

    async def charge(self, rental: str) -> None:
        """Wants the rented charger, which is plugged in, to charge."""
        await self._rest.post(f"/rentals/{rental}/charging-request?wait={ANSWER_S_MAX}", None)

    async def give_back(self, rental: str, station: str, now: int) -> None:
        """Wants a free door of a cabinet opened."""
        nonce = f"{rental[-12:]}-{now:x}"
        signed = presence.signature(self._secrets[station], station, nonce, now)
        proof = {"ble": {"nonce": nonce, "time": now, "signature": signed}}
        body = {"station": station, "proof": proof}
        await self._rest.post(f"/rentals/{rental}/return", body, key=f"return-{rental}-{now}")

    async def state(self, rental: str) -> str:
        """How the rental stands."""
        return str((await self._rest.get(f"/rentals/{rental}"))["state"])
