"""Products that are on sale in tests."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from csms.base.money import Money
from csms.flows.vouchers import ProductSpec


def spec(name: str, price_minor: int, conditions: Mapping[str, object] | None = None) -> ProductSpec:
    """A hundred kWh for four weeks, of the operator."""
    price = Money(price_minor, "KRW")
    return ProductSpec(name, None, name, "wh", 100_000, price, Decimal(10), 28, False, None, "none", None, conditions)
