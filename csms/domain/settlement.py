"""Who gets what of a fee: the operator its share, a site's host its own, the provider the rest, nothing lost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from csms.base.errors import Refused
from csms.base.money import half_up
from csms.base.units import BASIS_POINTS


def allot(amount: int, shares: Sequence[int]) -> list[int]:
    """
    Split `amount` by `shares` without losing a unit.

    Each part is floored; the units left over go to the largest remainders, ties to the first.
    """
    total = sum(shares)
    assert amount >= 0
    assert total > 0
    assert min(shares) >= 0
    parts = [amount * share // total for share in shares]
    by_remainder = sorted(range(len(shares)), key=lambda i: -(amount * shares[i] % total))
    for i in by_remainder[: amount - sum(parts)]:
        parts[i] += 1
    return parts


@dataclass(frozen=True, slots=True)
class Split:
    """
    The operator's share of each fee: basis points of it and a fixed part, within a minimum and a maximum.

    Amounts are minor units of the fee's currency. Refused when a part is negative, the basis
    points are above 10000, or the minimum is above the maximum.
    """

    operator_bp: int
    operator_fixed_minor: int = 0
    operator_min_minor: int = 0
    operator_max_minor: int | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.operator_bp <= BASIS_POINTS:
            raise Refused(f"basis points are 0 to {BASIS_POINTS}", "/operator_bp")
        if self.operator_fixed_minor < 0:
            raise Refused("the fixed part cannot be negative", "/operator_fixed_minor")
        if self.operator_min_minor < 0:
            raise Refused("the minimum cannot be negative", "/operator_min_minor")
        if self.operator_max_minor is not None and self.operator_max_minor < self.operator_min_minor:
            raise Refused("the maximum is below the minimum", "/operator_max_minor")


@dataclass(frozen=True, slots=True)
class Shares:
    """
    A divided fee, in minor units: the shares are the fee, tax included.

    The VAT parts are a memo (they are inside the shares); only the operator's own is posted. What the host
    gets, the provider buys of it: the VAT of that part is the provider's to account for.
    """

    operator_minor: int
    provider_minor: int
    operator_vat_minor: int = 0
    provider_vat_minor: int = 0
    host_minor: int = 0


def divide(total_minor: int, split: Split, vat_minor: int = 0, host_bp: int = 0) -> Shares:
    """
    Divide a fee of `total_minor`, of which `vat_minor` is VAT.

    Operator: `min(total, clamp(HALF_UP(total * bp / 10000) + fixed, min, max))`. Host of the site:
    `HALF_UP(total * host_bp / 10000)`, never more than the operator leaves. The provider takes the rest.
    The VAT is shared as the fee is, the operator's part rounded half up.
    """
    assert 0 <= vat_minor <= total_minor
    assert 0 <= host_bp <= BASIS_POINTS
    operator = half_up(total_minor * split.operator_bp, BASIS_POINTS) + split.operator_fixed_minor
    operator = max(operator, split.operator_min_minor)
    if split.operator_max_minor is not None:
        operator = min(operator, split.operator_max_minor)
    operator = min(operator, total_minor)
    operator_vat = half_up(vat_minor * operator, total_minor) if total_minor else 0
    host = min(half_up(total_minor * host_bp, BASIS_POINTS), total_minor - operator)
    return Shares(operator, total_minor - operator - host, operator_vat, vat_minor - operator_vat, host)


def keep(charged: Shares, left: Shares, kept_minor: int) -> Shares:
    """
    What payees keep of a fee of which `kept_minor` is kept: it was divided as `charged`, and `left` is not given back.

    The operator keeps its part of the fee, rounded half up, and of its VAT; so does the host, as far as the
    operator leaves it. The provider keeps the rest, but never more than it has: rounding would ask money of it
    while the driver gets some back. Then the host keeps the unit.
    """
    gross, had = sum_of(charged), sum_of(left)
    assert 0 <= kept_minor <= had <= gross
    assert gross > 0
    operator = half_up(charged.operator_minor * kept_minor, gross)
    host = min(half_up(charged.host_minor * kept_minor, gross), kept_minor - operator)
    provider = min(kept_minor - operator - host, left.provider_minor)
    vat = half_up((charged.operator_vat_minor + charged.provider_vat_minor) * kept_minor, gross)
    operator_vat = half_up(charged.operator_vat_minor * kept_minor, gross)
    return Shares(operator, provider, operator_vat, vat - operator_vat, kept_minor - operator - provider)


def sum_of(shares: Shares) -> int:
    """The fee that was divided."""
    return shares.operator_minor + shares.host_minor + shares.provider_minor
