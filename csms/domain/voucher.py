"""
Vouchers: rights to use that are bought before, counted in Wh, seconds, deliveries or value.

What a use takes of them releases, bit by bit, what was paid for them: by the cumulative rule
`HALF_UP(price * used / total)`, so that the last unit releases exactly the rest (shared/money.md section 5). What
goes beyond them is priced by the tariff, from the exact quantity, or by the voucher's own price if that is lower.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from fractions import Fraction
from typing import Literal, NamedTuple
from uuid import UUID

from csms.base.ids import derived
from csms.base.money import from_minor, half_up, to_minor
from csms.domain import ledger, tariff_own, voucher_terms
from csms.domain.ledger import Posting, Transfer
from csms.domain.pack_rows import Unit, Voucher
from csms.domain.tariff_clock import zone_of
from csms.domain.tariff_own import VOUCHER_UNITS, Drawn, Name, Own, Used
from csms.domain.tariff_restrictions import State

BUY_PLACE, REFUND_PLACE, LAPSE_PLACE = 1, 2, 3
"""The derived ids of a voucher's purchase, refund and breakage."""


class Begins(NamedTuple):
    """Where and when a rental or an exchange begins; what is judged is the wall clock of its site (None: UTC)."""

    station_id: str
    site_id: str | None
    provider_id: str
    time_zone: str | None
    at: datetime
    site_tags: tuple[str, ...]


Refund = Literal["none", "untouched", "unused"]
"""What of a voucher its driver may give back: nothing, all of it before its first use, or what is left of it."""


def released_minor(price_minor: int, total: int, used: int) -> int:
    """What `used` of `total` units have released of a price."""
    assert 0 <= used <= total
    return half_up(price_minor * used, total)


def valid(vouchers: Iterable[Voucher], provider_id: str, currency: str, at: datetime) -> list[Voucher]:
    """
    The vouchers that may be used at a provider's station at `at`, used up or not, the oldest first.

    What was left at the end of one may be used for one more period, while its driver has another of that product, for
    the same vehicle if it counts for one.
    One that may be used so many times only is not, after them.
    """
    mine = [v for v in vouchers if v.currency == currency and v.provider_id in (None, provider_id)]
    mine = [v for v in mine if v.uses_max is None or v.uses < v.uses_max]
    running = {(v.product_id, v.token_key) for v in mine if v.valid_from <= at < v.valid_until}
    found = [v for v in mine if v.valid_from <= at and (at < v.valid_until or _carried(v, running, at))]
    return sorted(found, key=lambda v: (v.valid_from, v.id))


def for_rental(vouchers: Iterable[Voucher], begins: Begins, currency: str, at: datetime) -> list[Voucher]:
    """
    Of the `valid` ones those that cover a rental or an exchange: whole quantities, under conditions.

    These are to be met where and when the use begins, however long it lasts.
    """
    local = begins.at.astimezone(zone_of(begins.time_zone)).replace(tzinfo=None)
    state = State(local, 0, 0, None, None, None, None)

    def fits(one: Voucher) -> bool:
        terms = voucher_terms.stored(one.terms, one.unit)
        conditions = terms.conditions
        there = conditions.at(begins.station_id, begins.site_id, "rental", begins.site_tags)
        return there and conditions.during(state) and terms.effect.kind == "included"

    return [one for one in valid(vouchers, begins.provider_id, currency, at) if fits(one)]


def _carried(voucher: Voucher, running: set[tuple[str, bytes | None]], at: datetime) -> bool:
    in_time = voucher.carry_until is not None and at < voucher.carry_until
    return in_time and (voucher.product_id, voucher.token_key) in running


def covers(vouchers: Iterable[Voucher], own: Own) -> bool:
    """Whether anything is left in them that this tariff prices."""
    return any(v.used < v.total and _priced(v.unit, own) for v in vouchers)


def _priced(unit: Unit, own: Own) -> bool:
    name = VOUCHER_UNITS[unit][1]
    return name is None or own.rate(name) is not None


def cover(vouchers: Sequence[Voucher], used: Used, own: Own, currency: str) -> Used:
    """
    `used` with what these vouchers (`valid`, in order) cover of it taken out of its quantities and into `drawn`.

    Quantities first; value pays for what they leave. Never raises a price: a voucher's own price for what goes
    beyond it counts only where the tariff asks more.
    """
    drawn: list[Drawn] = []
    left = {name: used.of(name) for name in tariff_own.UNITS}
    overuse: dict[Name, Fraction] = {}
    for voucher in vouchers:
        name = VOUCHER_UNITS[voucher.unit][1]
        if name is None or own.rate(name) is None:
            continue
        if voucher.overuse_price is not None:
            price = Fraction(voucher.overuse_price)
            overuse[name] = min(price, overuse.get(name, price))
        units = min(left[name], voucher.total - voucher.used)
        if units > 0:
            left[name] -= units
            drawn.append(draw(voucher, units))
    rest = replace(
        used, held_s=left["held_time"], deliveries=left["deliveries"], battery_wh=left["battery_energy"],
        drawn=tuple(drawn), overuse=tuple(sorted(overuse.items())),
    )  # fmt: skip
    return _by_value(vouchers, rest, own, currency)


def _by_value(vouchers: Sequence[Voucher], used: Used, own: Own, currency: str) -> Used:
    """What is left to pay, paid by value as far as it reaches."""
    exact = tariff_own.calculate(replace(used, drawn=()), own, currency).exact_incl or Fraction(0)
    drawn = list(used.drawn)
    for voucher in vouchers:
        units = min(to_minor(exact, currency), voucher.total - voucher.used)
        if voucher.unit == "val" and units > 0:
            value = min(exact, from_minor(units, currency))
            exact -= value
            drawn.append(draw(voucher, units, value))
    return replace(used, drawn=tuple(drawn))


def draw(voucher: Voucher, units: int, value: Fraction = Fraction(0), excl: Fraction | None = None) -> Drawn:
    """
    What a use takes of a voucher; `value` is the price that it pays (tax included), `excl` the same without tax.

    None where a share of the whole price's tax goes with it. No units release nothing: a price for what goes beyond it
    alone, or so little that its Wh is another's.
    """
    after = released_minor(voucher.price_minor, voucher.total, voucher.used + units)
    minor = (
        max(0, after - voucher.released_minor) if units else 0
    )  # what was put back may have left it ahead, or behind
    return Drawn(
        voucher.id, voucher.unit, units, minor, voucher.currency, Fraction(voucher.vat_percent), value, excl,
        voucher.funded_by,
    )  # fmt: skip


def drawn_from(voucher: Voucher, part: Drawn) -> Voucher:
    """The voucher after a use has taken `part` of it."""
    assert part.voucher_id == voucher.id
    used, released_minor = voucher.used + part.units, voucher.released_minor + part.minor
    return voucher._replace(used=used, released_minor=released_minor, uses=voucher.uses + (1 if part.units else 0))


def put_back(voucher: Voucher, part: Drawn) -> Voucher:
    """The voucher after a use has given back `part` of it: what was taken, to the unit and to the minor."""
    assert part.voucher_id == voucher.id
    assert part.units > 0
    used, released_minor = voucher.used - part.units, voucher.released_minor - part.minor
    return voucher._replace(used=used, released_minor=released_minor, uses=voucher.uses - 1)


def draw_down(session_id: UUID, drawn: Iterable[Drawn]) -> list[Transfer]:
    """
    Units are gone, and what they release goes to where the use is paid from.

    Nobody has paid for a gift before: its funder pays what is released now. It goes by way of the voucher, so that what
    comes from a payee's account into a held one is always what the payee returns.
    """
    found: list[Transfer] = []
    for part in drawn:
        if not part.units:
            continue
        units, deferred = ledger.voucher_units(part.voucher_id, part.unit), ledger.voucher_deferred(part.voucher_id)
        found.append(Transfer(units, ledger.units(part.unit), ledger.UNIT_ASSETS[part.unit], part.units))
        if part.minor and part.funded_by is not None:
            found.append(Transfer(part.funded_by, deferred, part.currency, part.minor))
        if part.minor:
            found.append(Transfer(deferred, ledger.session_held(session_id), part.currency, part.minor))
    return found


class TakenBack(NamedTuple):
    """What goes back into vouchers: the transfers, and the money among them, in minor units."""

    transfers: tuple[Transfer, ...] = ()
    minor: int = 0


NOTHING = TakenBack()


def draw_up(session_id: UUID, drawn: Sequence[Drawn]) -> TakenBack:
    """What `draw_down` moved for a use whose bill is taken back goes the same way back."""
    moved = (replace(t, debit=t.credit, credit=t.debit) for t in reversed(draw_down(session_id, drawn)))
    return TakenBack(tuple(moved), sum(part.minor for part in drawn))


# -- buying and giving back -------------------------------------------------------------------------------------------


def ends(valid_from: datetime, valid_days: int, *, carry_over: bool) -> tuple[datetime, datetime | None]:
    """Until when it is valid, and until when what is left then may still be used."""
    period = timedelta(days=valid_days)
    return valid_from + period, valid_from + 2 * period if carry_over else None


def bought(
    voucher_id: UUID, driver_id: str, price_minor: int, currency: str, unit: Unit, total: int, at: datetime
) -> Posting:
    """A voucher is paid from its driver's balance: the money is deferred, the units are there."""
    units = Transfer(ledger.units(unit), ledger.voucher_units(voucher_id, unit), ledger.UNIT_ASSETS[unit], total)
    money = ledger.transfers(
        currency, (ledger.driver_balance(driver_id), ledger.voucher_deferred(voucher_id), price_minor)
    )
    key = f"voucher/{voucher_id}/buy"
    return Posting(derived(voucher_id, BUY_PLACE), key, "voucher_bought", str(voucher_id), at, (*money, units))


def refusal(policy: Refund, used: int, total: int) -> str | None:
    """Why a voucher cannot be given back, None if it can."""
    match policy:
        case "none":
            return "this voucher is not refunded once it is bought"
        case "untouched" if used:
            return "this voucher is refunded only before its first use"
        case _:
            return "nothing is left of this voucher" if used >= total else None


def given_back(voucher: Voucher, at: datetime) -> Posting:
    """What is left of a voucher goes back: the units where they came from, the money to its driver's balance."""
    key, moved = f"voucher/{voucher.id}/refund", _left_to(voucher, ledger.driver_balance(voucher.driver_id))
    return Posting(derived(voucher.id, REFUND_PLACE), key, "voucher_refunded", str(voucher.id), at, moved)


def lapsed(voucher: Voucher, at: datetime) -> Posting:
    """What is left of a voucher is lost: what was paid for it is earned."""
    key, moved = f"voucher/{voucher.id}/lapse", _left_to(voucher, ledger.BREAKAGE)
    return Posting(derived(voucher.id, LAPSE_PLACE), key, "voucher_lapsed", str(voucher.id), at, moved)


def _left_to(voucher: Voucher, account: str) -> tuple[Transfer, ...]:
    assert voucher.funded_by is None, "nobody paid for a gift"
    left, minor = voucher.total - voucher.used, voucher.price_minor - voucher.released_minor
    units = ledger.voucher_units(voucher.id, voucher.unit)
    money = ledger.transfers(voucher.currency, (ledger.voucher_deferred(voucher.id), account, minor))
    return (Transfer(units, ledger.units(voucher.unit), ledger.UNIT_ASSETS[voucher.unit], left), *money)
