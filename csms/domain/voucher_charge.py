"""
What a driver's vouchers cover of a charging session, piece by piece, to the Wh.

Of the vouchers whose conditions a piece meets, the one that takes most off its price covers it, and only that one;
where two take the same, the one that ends first. What is left of a voucher is a whole number of units: it reaches to
a whole Wh (or second) of the session, and from there on the next best voucher counts, or the tariff.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from fractions import Fraction
from math import floor
from typing import NamedTuple
from uuid import UUID

from csms.base.money import from_minor, to_minor
from csms.base.units import WH_PER_KWH
from csms.domain import charge_pieces
from csms.domain.charge_pieces import Piece
from csms.domain.pack_rows import Unit, Voucher
from csms.domain.tariff import Tariff, Usage, calculate
from csms.domain.tariff_document import Dimension
from csms.domain.tariff_own import Drawn
from csms.domain.tariff_periods import Number
from csms.domain.tariff_restrictions import Restrictions
from csms.domain.voucher import draw
from csms.domain.voucher_terms import Terms, stored

COUNTED: dict[Unit, frozenset[Dimension]] = {
    "wh": frozenset({"ENERGY"}),
    "sec": frozenset({"TIME", "PARKING_TIME"}),
    "cnt": frozenset(),
    "val": frozenset(),
}
"""What of a charging session the units of a voucher count; value pays for what is left, a count for fees."""


class Begun(NamedTuple):
    """Where a session was begun, and with which token: the key of what was shown, or of what that stands for."""

    station_id: str
    site_id: str | None
    site_tags: tuple[str, ...] = ()
    token_key: bytes | None = None


@dataclass(slots=True)
class _Mine:
    """A voucher while a session is covered: what it has taken so far, and what that saves, exact."""

    voucher: Voucher
    terms: Terms
    left: int
    units: int = 0
    incl: Fraction = Fraction(0)
    excl: Fraction | None = Fraction(0)

    def covers(self, piece: Piece) -> bool:
        """Whether this part of a price is what it covers, there and then."""
        effect = self.terms.effect
        counted = effect.fees if effect.kind == "fee_waived" else COUNTED[self.voucher.unit]
        return piece.dimension in counted and self.terms.conditions.during(piece.state)

    def saving(self, piece: Piece) -> Fraction:
        """What it takes off the price of one unit: where it is used up, by its own price for what goes beyond it."""
        if self.left > 0:
            return self.terms.effect.saving(piece.incl)
        beyond = self.voucher.overuse_price
        if beyond is None or self.voucher.unit != "wh":
            return Fraction(0)
        return max(Fraction(0), piece.incl - Fraction(beyond) / WH_PER_KWH)

    def take(self, piece: Piece, low: Number) -> Number:
        """Covers a piece from `low` on; answers how far it reached."""
        saving, high = self.saving(piece), piece.high
        if self.terms.effect.kind == "fee_waived":
            self.units = 1  # of a session all its fees are one use
        elif self.left > 0:
            high = min(high, floor(low) + self.left)
            units = floor(high) - floor(low)
            self.units += units
            self.left -= units
        self.incl += (high - low) * saving
        if self.excl is not None:
            self.excl = None if piece.excl is None else self.excl + (high - low) * saving * piece.excl / piece.incl
        return high


def usable(vouchers: Iterable[Voucher], begun: Begun) -> list[Voucher]:
    """Of the valid ones those that cover what was begun there, and with that token, at all."""

    def fits(one: Voucher) -> bool:
        conditions = stored(one.terms, one.unit).conditions
        there = conditions.at(begun.station_id, begun.site_id, "charge", begun.site_tags)
        return there and conditions.with_token(one.token_key, begun.token_key)

    return [one for one in vouchers if fits(one)]


def conditions(vouchers: Iterable[Voucher]) -> list[Restrictions]:
    """What of their conditions may change within a session: a session is cut there."""
    told = (stored(v.terms, v.unit).conditions.restrictions for v in vouchers)
    return [restrictions for restrictions in told if restrictions is not None]


def covered(used: Usage, tariff: Tariff, zone: str | None, vouchers: Sequence[Voucher]) -> Usage:
    """`used`, which has periods, with what these vouchers (`usable`) take of it."""
    assert used.periods is not None
    exact = calculate(used, tariff, zone).exact_incl or Fraction(0)
    pieces = charge_pieces.pieces(used.periods, tariff, zone, conditions(vouchers))
    return replace(used, covered=cover(vouchers, pieces, exact, tariff.currency))


def cover(vouchers: Sequence[Voucher], pieces: Sequence[Piece], total: Fraction, currency: str) -> tuple[Drawn, ...]:
    """
    What these vouchers (`usable`) take of a session whose price is `total`, exact and tax included.

    First what they count, in the order of `pieces`; value pays for what is left. All savings together are at most
    the price, whatever limits it is under: a voucher never raises a price, nor does it pay anything out.
    """
    mine = [_Mine(v, stored(v.terms, v.unit), v.total - v.used) for v in sorted(vouchers, key=_ending)]
    for piece in pieces:
        fitting = [m for m in mine if m.covers(piece)]
        low = piece.low
        while low < piece.high and fitting:
            best = max(fitting, key=lambda m: m.saving(piece))  # of equal ones the first
            if best.saving(piece) <= 0:
                break
            low = best.take(piece, low)
    drawn: list[Drawn] = []
    for one in mine:
        value = min(one.incl, total)
        if value > 0:
            total -= value
            excl = None if one.excl is None else one.excl * value / one.incl
            drawn.append(draw(one.voucher, one.units, value, excl))
    return (*drawn, *_by_value([m for m in mine if m.voucher.unit == "val"], pieces, total, currency))


def _ending(voucher: Voucher) -> tuple[datetime, datetime, UUID]:
    return voucher.valid_until, voucher.valid_from, voucher.id


def _by_value(mine: Sequence[_Mine], pieces: Sequence[Piece], total: Fraction, currency: str) -> Iterator[Drawn]:
    """What is left to pay, paid by value as far as it reaches, if its conditions are met where the session begins."""
    for one in mine:
        units = min(to_minor(total, currency), one.left)
        if units > 0 and pieces and one.terms.conditions.during(pieces[0].state):
            value = min(total, from_minor(units, currency))
            total -= value
            yield draw(one.voucher, units, value)
