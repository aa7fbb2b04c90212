"""Vouchers as arithmetic: what is bought before, used up to the Wh, and owed where it does not reach."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from fractions import Fraction

from tests.simulation.money import BALANCE, DEBT, HOLD_MAX, OPERATOR_PERCENT, PRICE_PER_KWH, Books, Use, half_up


@dataclass(slots=True)
class Bought:
    """So many Wh for a price, on which so many percent go off."""

    name: str
    total: int
    price: int
    percent: int
    until: datetime
    used: int = 0

    @property
    def released(self) -> int:
        """What of its price its uses have released."""
        return half_up(self.price * self.used, self.total)

    @property
    def left(self) -> int:
        return self.total - self.used


@dataclass(slots=True)
class VoucherUse(Use):
    """A session, with the vouchers that were valid when it began, the best first."""

    mine: list[Bought] = field(default_factory=list)
    leans: bool = False
    released: int = 0


@dataclass(slots=True)
class VoucherBooks(Books):
    """The books of a driver who buys vouchers."""

    vouchers: list[Bought] = field(default_factory=list)

    def buy(self, voucher: Bought) -> None:
        """From the balance; what it was bought for is owed to its driver until it is used."""
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

    def finish(self, use: VoucherUse, energy_wh: int) -> int:
        """The vouchers first, then what was set aside, then debt. Answers what is asked beside the vouchers."""
        price, rest = Fraction(energy_wh * PRICE_PER_KWH, 1_000), energy_wh if use.leans else 0
        for voucher in use.mine:
            units = min(rest, voucher.left)
            before = voucher.released
            voucher.used += units
            rest -= units
            price -= Fraction(units * PRICE_PER_KWH * voucher.percent, 100_000)
            use.released += voucher.released - before
            self.move(voucher.name, use.ref, voucher.released - before)
        to_pay = half_up(price.numerator, price.denominator)
        if not use.leans:
            to_pay = min(to_pay, use.held)
        use.charge = use.left = to_pay + use.released
        use.charge_operator = use.left_operator = half_up(use.left * OPERATOR_PERCENT, 100)
        self.move(DEBT, use.ref, max(0, to_pay - use.held))
        self._pay(use)
        self.move(use.ref, BALANCE, max(0, use.held - to_pay))
        use.revision = 1
        return to_pay
