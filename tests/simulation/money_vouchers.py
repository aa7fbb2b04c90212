"""Vouchers as arithmetic: what is bought before, used up to the Wh, and owed where it does not reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from tests.simulation.money import (
    BALANCE,
    DEBT,
    HOLD_MAX,
    OPERATOR,
    OPERATOR_PERCENT,
    PRICE_PER_KWH,
    PROVIDER,
    Books,
    Parts,
    Use,
    half_up,
)


@dataclass(slots=True)
class Bought:
    """So many Wh for a price, on which so many percent go off."""

    name: str
    total: int
    price: int
    percent: int
    until: datetime
    used: int = 0
    released: int = 0
    """What of its price its uses have released."""

    @property
    def left(self) -> int:
        return self.total - self.used

    def draw(self, units: int) -> int:
        """Answers what that releases: so much of its price as of its units is used, to the nearest, and never back."""
        before, self.used = self.released, self.used + units
        self.released = max(before, half_up(self.price * self.used, self.total))
        return self.released - before


@dataclass(slots=True)
class VoucherUse(Use):
    """A session, with the vouchers that were valid when it began, the best first."""

    mine: list[Bought] = field(default_factory=list)
    leans: bool = False
    parts: list[tuple[Bought, int, int]] = field(default_factory=list)
    """Which vouchers gave how many units, and what that released."""

    @property
    def released(self) -> int:
        return sum(minor for _, _, minor in self.parts)


@dataclass(slots=True)
class VoucherBooks(Books):
    """The books of a driver who buys vouchers."""

    vouchers: list[Bought] = field(default_factory=list)

    @property
    def free(self) -> int:
        """What of the balance can be spent on something else."""
        return self.balance - self.owed if self.balance > self.owed else 0

    def buy(self, voucher: Bought) -> None:
        """From the balance, after what is owed; what it was bought for is owed to its driver until it is used."""
        self.pay_debt()
        self.move(BALANCE, voucher.name, voucher.price)
        self.vouchers.append(voucher)

    def begin(self, ref: str, at: datetime) -> VoucherUse | None:
        """As without vouchers; one that pays for all that is taken stands in for a balance."""
        mine = sorted((v for v in self.vouchers if at < v.until), key=lambda v: (-v.percent, v.until, v.name))
        held = min(self.balance, HOLD_MAX)
        if self.owed > 0 or (held <= 0 and not any(v.left and v.percent == 100 for v in mine)):
            return None
        self.move(BALANCE, ref, held)
        return VoucherUse(ref, held, mine=mine, leans=any(v.left for v in mine))

    def _draw(self, use: VoucherUse, energy_wh: int) -> int:
        """The vouchers first. Answers what is asked beside them, and keeps what the bill says."""
        price, rest = Fraction(energy_wh * PRICE_PER_KWH, 1_000), energy_wh if use.leans else 0
        for voucher in use.mine:
            units = min(rest, voucher.left)
            rest -= units
            price -= Fraction(units * PRICE_PER_KWH * voucher.percent, 100_000)
            if units:
                use.parts.append((voucher, units, voucher.draw(units)))
                self.move(voucher.name, use.ref, use.parts[-1][2])
        to_pay = half_up(price.numerator, price.denominator)
        if not use.leans:
            to_pay = min(to_pay, use.held)
        use.charge = use.left = to_pay + use.released
        use.charge_operator = use.left_operator = half_up(use.left * OPERATOR_PERCENT, 100)
        return to_pay

    def finish(self, use: VoucherUse, energy_wh: int) -> int:
        """What no voucher pays is taken from what was set aside, then it is debt. Answers how much it is."""
        to_pay = self._draw(use, energy_wh)
        self.move(DEBT, use.ref, max(0, to_pay - use.held))
        self._pay(use)
        self.move(use.ref, BALANCE, max(0, use.held - to_pay))
        use.revision = 1
        return to_pay

    def correct(self, use: Use, energy_wh: int) -> Parts:
        """All of it back, into vouchers too, and a new bill from what is left of them now."""
        assert isinstance(use, VoucherUse)
        before = use.left - use.released
        self.move(OPERATOR, use.ref, use.left_operator)
        self.move(PROVIDER, use.ref, use.left - use.left_operator)
        for voucher, units, minor in use.parts:
            voucher.used -= units
            voucher.released -= minor
            self.move(use.ref, voucher.name, minor)
        use.parts = []
        more = self._draw(use, energy_wh) - before
        self.demand(use, max(0, more))
        self._pay(use)
        use.revision += 2
        return self.give(use, max(0, -more))
