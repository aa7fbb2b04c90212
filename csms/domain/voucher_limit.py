"""
Up to how many Wh a driver's vouchers and what is set aside surely pay: `maxEnergy` of stations that keep limits (2.1).

That can be said where the Wh that flow, and nothing else, decide what is to pay: the tariff asks for energy and for
flat fees only, at one price each, without steps or limits of the whole price; and no voucher of the driver that counts
there has hours, days or powers, used up or not: a correction may fill it again. Then every Wh more costs the same or
more, and the very rule that bills a session is searched for the last Wh that is paid. Elsewhere nothing is told: a
limit without the vouchers would stop drivers too early.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from fractions import Fraction
from functools import lru_cache
from math import ceil

from csms.base.money import from_minor
from csms.domain import voucher_session
from csms.domain.events import Limit
from csms.domain.pack_rows import Voucher
from csms.domain.session import VOUCHERS, Priced, Session
from csms.domain.tariff import Period, Tariff, Usage, price
from csms.domain.voucher_charge import covered
from csms.domain.voucher_terms import stored
from csms.domain.watch import ENERGY_WH_MAX, Watch, is_limited, keepers, limit_for
from csms.domain.world import World

ENERGY = "energy"
"""The one limit that is told where vouchers pay: no cost, because nobody knows which tariff a station counts by."""

VOUCHERS_MAX = 16
"""Of more nothing is told: the search would hold up the stations of this process."""

AT = datetime(2000, 1, 1, tzinfo=UTC)
"""When energy flows whose time does not matter."""


def told(world: World, session: Session, priced: Priced) -> Limit | None:
    """
    What the station of a running session is told, if it keeps limits itself, with what its driver's vouchers pay.

    None where that cannot be said, or they are not loaded: its next look (`spending.checked`) loads them.
    """
    if VOUCHERS not in session.flags:
        return limit_for(session, priced.tariff)
    if not is_limited(session) or session.currency is None or session.driver_id not in world.vouchers_of:
        return None
    mine = voucher_session.usable(world, session, session.driver_id)
    if not asks_for_wh_alone(priced.tariff) or any(_asks_when(one) for one in mine) or len(mine) > VOUCHERS_MAX:
        return None
    return Limit(session.hold_minor, session.currency, priced.tariff, counting(mine))


def kept_by(priced: Priced, limit: Limit | None) -> list[str]:
    """The limits of which one alone, if its station keeps it, keeps a session within what is paid."""
    if limit is None:
        return []
    return keepers(priced.tariff) if limit.vouchers is None else [ENERGY]


def binds(before: Watch | None, limit: Limit | None) -> bool:
    """
    Whether what a station was told before keeps it within `limit` too.

    Not where vouchers pay less by now, because another session has taken of them. What is set aside only grows.
    """
    if limit is None or limit.vouchers is None:
        return True
    was = None if before is None else before.outcome.limit
    return was is not None and was.vouchers == limit.vouchers


def counting(vouchers: Iterable[Voucher]) -> tuple[Voucher, ...]:
    """Of these (`usable`) the ones that may still pay where time has no price."""
    return tuple(one for one in vouchers if _has_left(one) and _is_asked(one))


def _has_left(one: Voucher) -> bool:
    return one.used < one.total or (one.unit == "wh" and one.overuse_price is not None)


def _is_asked(one: Voucher) -> bool:
    return one.unit in ("wh", "val") or stored(one.terms, one.unit).effect.kind == "fee_waived"


def _asks_when(one: Voucher) -> bool:
    return stored(one.terms, one.unit).conditions.restrictions is not None


def asks_for_wh_alone(tariff: Tariff) -> bool:
    """Whether a use is priced by its Wh, each at the same price, and by flat fees only."""
    whole = tariff.min_price is not None or tariff.max_price is not None
    stepped = any(part.dimension == "ENERGY" and part.step_size > 1 for part in tariff.components)
    return ENERGY in keepers(tariff) and not whole and not stepped


@lru_cache(maxsize=512)
def most_wh(tariff: Tariff, minor: int, vouchers: tuple[Voucher, ...]) -> int | None:
    """
    The most Wh of a session of which vouchers leave at most `minor` to pay; None where it never is more.

    Between two Wh at which a voucher is used up the price rises evenly: the search goes down along its last rise, and
    by halves where that leads too far. Every answer is one of the rule itself.
    """
    spent = from_minor(2 * minor + 1, tariff.currency) / 2
    low, high = 0, ENERGY_WH_MAX  # `low` is paid for; `high` is not, and leaves `due`
    due = left_to_pay(high, tariff, vouchers)
    if due < spent:
        return None
    while high - low > 1:
        below = left_to_pay(high - 1, tariff, vouchers)
        if below < spent:
            return high - 1
        guess = low if due <= below else ceil(high - 1 - (below - spent) / (due - below))
        if not low < guess < high:
            guess = (low + high) // 2
        found = left_to_pay(guess, tariff, vouchers)
        if found < spent:
            low = guess
        else:
            high, due = guess, found
    return low


def left_to_pay(wh: int, tariff: Tariff, vouchers: Sequence[Voucher]) -> Fraction:
    """What these vouchers leave of the price of so many Wh: exact units of the currency, tax included."""
    used = covered(Usage(wh, 0, (Period(AT, AT, wh),)), tariff, None, vouchers)
    return price(used, tariff).exact_incl - from_minor(used.drawn_minor, tariff.currency)
