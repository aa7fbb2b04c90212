"""The small town of a simulation: twelve stations and one without a tariff, drivers, tokens, money."""

from __future__ import annotations

from decimal import Decimal

from csms.domain.session import Priced, Station, Terms
from csms.domain.settlement import Split
from csms.domain.tariff_document import parse
from csms.domain.token import key as token_key
from csms.domain.world import Rules, Token
from tests.simulation import charges as scripts
from tests.simulation.charges import Charge
from tests.simulation.store import Store

STATIONS = [f"S{number}" for number in range(12)]
RULES = Rules(policies={"social": "hold_capture"})
RICH_MINOR, POOR_MINOR = 10**12, 13_000

TERMS = Terms("T", 1, "KRW", 6_000, 1)
PRICES = {"ENERGY": "317.3", "TIME": "601", "FLAT": "150"}
SPLIT = Split(1_250, 30)
TARIFF = parse(
    {
        "country_code": "KR",
        "party_id": "CSM",
        "id": "T",
        "currency": "KRW",
        "tax_included": "YES",
        "elements": [
            {
                "price_components": [
                    {"type": kind, "price": Decimal(price), "vat": 10, "step_size": 1} for kind, price in PRICES.items()
                ]
            }
        ],
        "last_updated": "2026-01-01T00:00:00Z",
    }
)


def store_for(made: list[Charge], lax: frozenset[str] = frozenset()) -> Store:
    """The stations, tokens and money of a run."""
    powers = {1: 50_000, 2: 50_000}
    stations = [Station(name, "charger", "P", None, 1, TERMS, powers) for name in STATIONS]
    stations.append(Station("BARE", "charger", "P", None, 1, None, {}))
    store = Store(stations, {("T", 1, "P", 1): Priced(TARIFF, SPLIT)}, lax)
    for number in range(5):
        _local(store, f"A0{number:06X}", f"rich{number}", RICH_MINOR)
    for number in range(2):
        _local(store, f"B0{number:06X}", f"poor{number}", POOR_MINOR)
    _local(store, "BADBADBAD0", "rich0", 0, status="blocked")
    _local(store, "E0E0E0E0", "eve", 1_000, driver_status="blocked")
    _local(store, "0FF51DE0", "rich0", 0, station_id="HOME")
    for text, (subject, single_use) in scripts.social_tokens(made).items():
        key = token_key(text)
        row = Token(key, "accepted", None, None, "social", "issuer", subject, None, single_use, None, False, None)
        store.tokens[key] = row
    return store


def _local(
    store: Store, text: str, driver_id: str, minor: int, status: str = "accepted", driver_status: str = "active",
    station_id: str | None = None,
) -> None:  # fmt: skip
    key = token_key(text)
    store.tokens[key] = Token(
        key, status, driver_id, driver_status, None, None, None, station_id, False, None, False, None
    )
    store.drivers.add(driver_id)
    if minor:
        store.fund(driver_id, minor)
