"""A driver who buys vouchers and charges on them, in any order, against plain arithmetic."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from csms.base.money import Money
from csms.flows import vouchers
from csms.flows.vouchers import NotEnough, ProductSpec
from tests.make import BOB, ended
from tests.simulation.money import Books
from tests.simulation.money_machine import PLACES, MoneyMachine
from tests.simulation.money_vouchers import Bought, VoucherBooks, VoucherUse

DAYS = 6


class VoucherMachine(MoneyMachine):
    """Up to three places at once draw on the same vouchers."""

    books: VoucherBooks

    def empty_books(self) -> Books:
        return VoucherBooks()

    @initialize(minor=st.integers(1_000, 40_000))
    def first_voucher(self, minor: int) -> None:
        """So that every run has one to use."""
        self.top_up(minor)
        self.buy(wh=10_000, price=min(minor, 1_000), percent=100, twice=False)

    @rule(
        wh=st.sampled_from([1, 7, 1_001, 20_000, 200_000]),
        price=st.sampled_from([0, 1, 999, 7_777]),
        percent=st.sampled_from([40, 100, 100]),
        twice=st.booleans(),
    )
    def buy(self, wh: int, price: int, percent: int, twice: bool) -> None:
        effect = {"kind": "percent_off", "percent": percent} if percent < 100 else None
        money = Money(price, "KRW")
        name = f"p{wh}-{price}-{percent}"
        spec = ProductSpec(name, None, name, "wh", wh, money, Decimal(0), DAYS, False, None, "none", effect=effect)
        self.run(vouchers.add_product(self.conn, spec, self.now))
        voucher_id, at = self.new_id(), self.later()
        if price > self.books.free:
            with pytest.raises(NotEnough):
                self.run(self._bought(voucher_id, name, at))
            return
        self.run(self._bought(voucher_id, name, at))
        self.books.buy(Bought(str(voucher_id), wh, price, percent, at + timedelta(days=DAYS)))

    async def _bought(self, voucher_id: Any, product: str, at: Any) -> None:
        async with self.conn.transaction():
            await vouchers.buy(self.conn, voucher_id, "bob", product, at)

    @precondition(lambda self: len(self.open) < len(PLACES))
    @rule()
    def start(self) -> None:
        place = next(place for place in PLACES if place not in self.open)
        event = self.started(place, BOB)
        [outcome] = self.run(self.road.tell(event))
        use = self.books.begin(event.ref, event.at)
        assert (outcome.status == "accepted") == (use is not None), outcome
        if use is not None:
            self.open[place] = use

    def _end(self, place: tuple[str, int], energy_wh: int, told_twice: bool) -> None:
        station, use, at = place[0], self.open.pop(place), self.later()
        assert isinstance(use, VoucherUse)
        event = ended(use.ref, station_id=station, wh=1_000 + energy_wh, at=at, received_at=at)
        for _ in range(1 + told_twice):
            [outcome] = self.run(self.road.tell(event))
        assert outcome.fee_minor == self.books.finish(use, energy_wh)
        self.closed.append((station, use))

    @invariant()
    def vouchers_are_used_as_arithmetic_says(self) -> None:
        rows = self.run(self.conn.fetch("select id::text, used, released_minor from voucher"))
        found = {row["id"]: (row["used"], row["released_minor"]) for row in rows}
        assert found == {voucher.name: (voucher.used, voucher.released) for voucher in self.books.vouchers}
