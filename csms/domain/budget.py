"""
Budgets: several tokens on one balance, each with what it may spend in a session, a day, a week or a month.

What is set aside for a session counts at once, and is set right when it is settled; the database adds
up and refuses what two starts at one time would overspend (`save_corrections`).
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

from csms.domain.session import Session, flagged
from csms.domain.world import Changes, Token, World

BUDGET = "budget"
"""The flag of a session whose token has a budget: at its end the token is loaded too."""

UNLIMITED = 2**62


def began(period: str, time_zone: str, at: datetime) -> date:
    """The first day of the period (`day`, `week` from Monday, `month`) that `at` lies in, in that zone."""
    day = at.astimezone(ZoneInfo(time_zone)).date()
    match period:
        case "week":
            return day - timedelta(days=day.weekday())
        case "month":
            return day.replace(day=1)
        case _:
            return day


def room(world: World, session: Session) -> int:
    """
    Minor units that its token may still set aside for this session; `UNLIMITED` where it has no budget.

    A session belongs to the period in which it opened, however long it lasts.
    """
    token = _token(world, session)
    if token is None or session.currency is None:
        return UNLIMITED
    return left(token, session.currency, session.opened_at, session.hold_minor)


def left(token: Token, currency: str, at: datetime, held_minor: int = 0) -> int:
    """What a token may spend in a session that opens at `at`, and has `held_minor` set aside already."""
    smallest = UNLIMITED
    for period, of_currency, limit, zone in token.budgets:
        if of_currency != currency:
            continue
        used = held_minor
        if period != "session":
            began_on = began(period, zone, at)
            used = sum(minor for p, c, day, minor in token.spendings if (p, c, day) == (period, currency, began_on))
        smallest = min(smallest, limit - used)
    return max(0, smallest)


def spend(world: World, changes: Changes, session: Session, minor: int) -> Session:
    """
    Counts `minor` that was set aside for a session, or (below 0) was not spent after all.

    The session is flagged when its token has a budget, so that its end is counted too.
    """
    token = _token(world, session)
    if token is None or not token.budgets or minor == 0:
        return session
    spendings = list(token.spendings)
    for period, currency, _, zone in token.budgets:
        if currency == session.currency and period != "session":
            first_day = began(period, zone, session.opened_at)
            changes.budgets.append((token.owner, period, currency, first_day, minor))
            spendings.append((period, currency, first_day, minor))
    for key, other in world.tokens.items():  # its aliases see it too, in this batch
        if other.owner == token.owner:
            world.tokens[key] = replace(other, spendings=tuple(spendings))
    return session._replace(flags=flagged(session.flags, BUDGET))


def lacks(world: World, changes: Changes, session: Session) -> bool:
    """
    Whether its token has a budget and is not loaded; then it is asked for, and all is decided again.

    That of an erased driver is gone, with its budget.
    """
    if BUDGET not in session.flags or session.token_key is None or session.token_key in world.tokens:
        return False
    changes.lacking.add((session.station_id, session.ref))
    return True


def settled(world: World, changes: Changes, session: Session) -> None:
    """What was set aside and not spent is free again, once a session is settled. Its token is loaded for that."""
    if BUDGET in session.flags and session.state == "completed":
        assert session.fee_minor is not None
        if lacks(world, changes, session):
            return
        paid_minor = session.fee_minor - session.drawn_minor
        spend(world, changes, session, min(paid_minor, session.hold_minor) - session.hold_minor)


def corrected(world: World, changes: Changes, before: Session, session: Session) -> None:
    """Staff decided on a bill: a held one is settled now, one that became lower frees what it is lower by."""
    if before.state == "review":
        settled(world, changes, session)
    elif BUDGET in session.flags and not lacks(world, changes, session):
        now_minor, before_minor = (min((s.fee_minor or 0) - s.drawn_minor, s.hold_minor) for s in (session, before))
        spend(world, changes, session, min(0, now_minor - before_minor))


def _token(world: World, session: Session) -> Token | None:
    if session.means != "balance" or session.token_key is None:
        return None
    return world.tokens.get(session.token_key)
