"""Offers as shared/vouchers.md says them, with no thought for time: window by window, piece by piece, in fractions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from math import floor

from csms.base.money import from_minor, to_minor
from csms.domain.offer_takes import Product, Visit
from csms.domain.offers import Offer, days_known
from csms.domain.tariff_periods import MICROSECOND, SECOND_US
from csms.domain.voucher_charge import COUNTED

Take = tuple[datetime, int, int, Fraction]
"""When, of which visit, units, and what goes off."""


def judge(visits: Sequence[Visit], product: Product, now: datetime, since: datetime) -> Offer:
    """What `offers.judge` is to answer of visits that do not overlap and have whole Wh and seconds."""
    known = days_known(visits, now, since)
    begin = now - timedelta(days=known)
    takes = sorted((take for place, visit in enumerate(visits) for take in _takes(visit, product, place)), key=_when)
    flows = sorted(
        (_at(visit, piece.state.elapsed_s), place, int(piece.high - piece.low), Fraction(0))
        for place, visit in enumerate(visits)
        for piece in visit.pieces
        if piece.dimension == "ENERGY"
    )
    found, used = [], []
    for start in _starts(begin, known, product.valid_days):
        end = start + timedelta(days=product.valid_days)
        saved, units = _window(_tiled(takes, begin, now, start, end), product.amount, product.uses_max)
        found.append((saved - from_minor(product.price_minor, product.currency), units))
        used.append(sum(flow[2] for flow in _tiled(flows, begin, now, start, end)))
    minor = from_minor(1, product.currency)
    nets = [net for net, _ in found]
    return Offer(
        product,
        floor(sum(nets) / len(nets) / minor),
        floor(min(nets) / minor),
        Fraction(sum(net > 0 for net in nets), len(nets)),
        len(nets),
        known < product.valid_days,
        covered=sum(units for _, units in found) // len(found),
        used=sum(used) // len(used),
    )


def _when(take: Take) -> tuple[datetime, int]:
    """The order in which a voucher is used up: what a session takes at one time, in the order of its pieces."""
    return take[:2]


def _starts(begin: datetime, known: int, length: int) -> list[datetime]:
    """A day apart, within the known days; where these are fewer than `length`, within their whole weeks."""
    if known >= length:
        return [begin + timedelta(days=day) for day in range(known - length + 1)]
    weeks = -(-known // 7) * 7
    return [begin + timedelta(days=known - weeks + day) for day in range(weeks)]


def _tiled(takes: Sequence[Take], begin: datetime, now: datetime, start: datetime, end: datetime) -> list[Take]:
    """Those of a window; the known days come again and again, whole weeks apart."""
    again = timedelta(weeks=-(-(now - begin).days // 7))
    rounds = range((end - begin) // again + 1)
    moved = (
        (at + again * round_, visit + 1_000_000 * round_, units, saving)
        for round_ in rounds
        for at, visit, units, saving in takes
        if begin <= at < now
    )
    return [take for take in moved if start <= take[0] < end]


def _window(takes: Sequence[Take], amount: int, uses_max: int | None) -> tuple[Fraction, int]:
    """(what goes off, units) until the units or the uses are used up."""
    saved, taken, uses = Fraction(0), 0, set[int]()
    for _, visit, units, saving in takes:
        uses |= {visit} if units else set()
        if uses_max is not None and len(uses) > uses_max:
            break
        if taken + units > amount:
            return saved + saving * (amount - taken) / units, amount
        saved, taken = saved + saving, taken + units
    return saved, taken


def _takes(visit: Visit, product: Product, place: int) -> Iterator[Take]:
    effect, conditions = product.terms.effect, product.terms.conditions
    if product.provider_id not in (None, visit.provider_id):
        return
    if not visit.pieces or not conditions.at(visit.station_id, visit.site_id, "charge", visit.site_tags):
        return
    if product.unit == "val":
        cost = to_minor(sum(((p.high - p.low) * p.incl for p in visit.pieces), Fraction(0)), product.currency)
        if cost and conditions.during(visit.pieces[0].state):
            yield visit.start, place, cost, from_minor(cost, product.currency)
        return
    waived, first = effect.kind == "fee_waived", True
    for piece in visit.pieces:
        counted = piece.dimension in (effect.fees if waived else COUNTED[product.unit])
        per_unit = effect.saving(piece.incl)
        if counted and per_unit and conditions.during(piece.state):
            length = int(piece.high - piece.low)
            yield _at(visit, piece.state.elapsed_s), place, int(first) if waived else length, length * per_unit
            first = False


def _at(visit: Visit, elapsed_s: int | Fraction) -> datetime:
    return visit.start + floor(elapsed_s * SECOND_US) * MICROSECOND
