"""
Who pays: judging the token of a session or of an Authorize, and folding in a psp's verdict.

A driver's balance is judged at once and a part of it held. A psp is asked outside the database:
the session waits as `pending`, and every report that depends on the verdict waits with it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Protocol
from uuid import UUID

from csms.base.ids import derived
from csms.domain import billing, budget, errand, portable, token, voucher_limit, voucher_session
from csms.domain.authorization import Authorization
from csms.domain.events import RECORDED, AuthorizationDecided, Outcome
from csms.domain.holding import hold_minor, is_covered
from csms.domain.ledger import Posting
from csms.domain.quote import quote
from csms.domain.session import Session, Terms, accepted, refused
from csms.domain.watch import is_limited
from csms.domain.world import Changes, Token, World

DRIVER_PLACE = 20
"""The derived id of a driver who is first heard of by a session that began offline."""

STATUS_BY_REASON = {
    "blocked": "blocked",
    "driver_blocked": "blocked",
    "expired": "expired",
    "no_credit": "no_credit",
    "debt": "no_credit",
    "budget_spent": "no_credit",
    "token_used": "concurrent",
}
"""What the station is told; every other reason is `invalid`."""


class Asking(Protocol):
    """The part of an event that judging needs."""

    @property
    def station_id(self) -> str: ...
    @property
    def received_at(self) -> datetime: ...
    @property
    def authorization_id(self) -> UUID: ...


@dataclass(frozen=True, slots=True)
class Ask:
    """What judging needs, where no event has it."""

    station_id: str
    received_at: datetime
    authorization_id: UUID


def judge(world: World, changes: Changes, session: Session, text: str, event: Asking) -> Session:
    """The session with its token judged: `active`, `pending` until a psp decides, or `invalid` with the reason."""
    return judge_key(world, changes, session, token.key(text), token.masked(text), event)


def judge_key(
    world: World,
    changes: Changes,
    session: Session,
    key: bytes,
    masked: str | None,
    event: Asking,
    *,
    again: bool = False,
) -> Session:
    """
    As `judge`, for a token of which only the key is told.

    `again`: whoever showed it before is known by something else now, a pack: its single use and its expiry are past.
    """
    known = world.tokens.get(key)
    stands_for = None if known is None else known.stands_for
    session = session._replace(token_key=key, token_masked=masked, stands_for=stands_for)
    if again and known is not None:
        known = replace(known, single_use=False, session_id=None, session_open=False, expires_at=None, station_id=None)
    station = world.stations[session.station_id]
    terms = station.terms
    live = live_of(world, session.station_id, key)
    reason = objection(known, session.station_id, session.id, event.received_at, session.offline or live is not None)
    if reason is None and (terms is None or session.currency != terms.currency):
        reason = "no_tariff"
    if reason is None and not session.offline and known is not None and owes(world, known):
        reason = "debt"
    if reason is None and station.portable and known is not None:
        reason = portable.objection(world, changes, session, person(world, known), session.started_at)
        session = portable.at_its_outlet(world, session)
    if reason is not None:
        return refused(session, reason, event.received_at)
    assert known is not None and terms is not None
    session = voucher_session.begin(world, session, person(world, known))
    if known.single_use and known.session_id is None:
        changes.spent[key] = session.id
        world.tokens[key] = replace(known, session_id=session.id, session_open=True)
    if known.psp is None or is_covered(world, session, terms, person(world, known)):
        return _from_balance(world, changes, session, known, terms, event.received_at)
    return _from_psp(world, changes, session, known, terms, event)


def objection(
    known: Token | None, station_id: str, session_id: UUID | None, now: datetime, began_in_time: bool
) -> str | None:
    """Why this token may not be used here, None if it may. `began_in_time`: its expiry was judged before."""
    if known is None:
        return "unknown_token"
    standing = token.decide(known.status, None if began_in_time else known.expires_at, now)
    if standing != "accepted":
        return standing
    if known.driver_status == "blocked":
        return "driver_blocked"
    if known.station_id is not None and known.station_id != station_id:
        return "other_station"
    if known.session_id is not None and known.session_id != session_id:
        return "token_used"
    return None


def owes(world: World, known: Token) -> bool:
    """Whether its driver owes more than is overlooked, in any currency."""
    return any(
        driver_id == known.driver_id and minor > world.rules.debt_minor_max
        for (driver_id, _), minor in world.debts.items()
    )


def person(world: World, known: Token) -> str | None:
    """The driver behind a token, None where it is not known yet."""
    if known.driver_id is not None or known.issuer is None or known.subject is None:
        return known.driver_id
    return world.identities.get((known.issuer, known.subject))


def _from_balance(
    world: World, changes: Changes, session: Session, known: Token, terms: Terms, at: datetime
) -> Session:
    """Sets part of the balance aside; what began offline is recorded even if there is nothing to hold."""
    driver_id = person(world, known)
    assert driver_id is not None
    session = session._replace(means="balance", rest=session.rest or known.rest)
    key = (driver_id, terms.currency)
    wanted = hold_minor(world, session, terms, driver_id)
    minor = min(world.balances.get(key, 0), wanted)
    within = budget.room(world, session)
    covered = is_covered(world, session, terms, driver_id) or voucher_session.stands_in(world, session, driver_id)
    if minor > 0 >= within and not session.offline and not covered:
        return refused(session._replace(driver_id=driver_id), "budget_spent", at)
    minor = min(minor, within)
    if session.use == "rental" and minor < wanted and not session.offline:
        minor = 0  # an item is lent for its whole deposit, or not at all
    if minor <= 0 and not session.offline and not covered:
        return refused(session._replace(driver_id=driver_id), "no_credit", at)
    if minor > 0:
        world.balances[key] -= minor
        session = budget.spend(world, changes, session._replace(driver_id=driver_id), minor)
        changes.postings.append(billing.hold(session, minor, at))
    return accepted(session, driver_id, minor)


def _from_psp(world: World, changes: Changes, session: Session, known: Token, terms: Terms, event: Asking) -> Session:
    """Uses the authorization that waits for this start, joins the ask that runs, or asks."""
    assert known.psp and known.issuer and known.subject
    session = session._replace(means="psp", psp=known.psp)
    if known.psp not in world.rules.policies:
        return refused(session, "psp_unknown", event.received_at)
    if session.offline:
        live = live_of(world, session.station_id, known.key)
        if live is not None and _covers(live, session) and _fresh(world, live, event.received_at):
            return _use(world, changes, session._replace(authorization_id=live.id), live)
        person = (known.issuer, known.subject)
        driver_id = known.driver_id or _driver(
            world, changes, person, str(derived(session.id, DRIVER_PLACE)), event.received_at
        )
        return accepted(session._replace(policy="charge_after"), driver_id, 0)
    authorization = ask(world, changes, known, terms, event, hold_minor(world, session, terms))
    if authorization.currency != terms.currency:
        return refused(session, "no_tariff", event.received_at)
    session = session._replace(authorization_id=authorization.id)
    if authorization.state == "authorized":
        return _use(world, changes, session, authorization)
    world.waiting.setdefault(authorization.id, set()).add((session.station_id, session.ref))
    return session


def _covers(authorization: Authorization, session: Session) -> bool:
    """Whether a use that began offline was approved before, when its station was still there: then that pays for it."""
    return (
        authorization.state == "authorized"
        and authorization.currency == session.currency
        and session.started_at is not None
        and authorization.asked_at <= session.started_at
    )


def ask(world: World, changes: Changes, known: Token, terms: Terms, event: Asking, amount_minor: int) -> Authorization:
    """
    The live authorization of this token at this station: decided, asked already, or asked now.

    An accepted one that is too old, or of another currency than the station's tariff has by now, or of
    less, is given back. One that is still asked may be of another currency.
    """
    assert known.psp and known.issuer and known.subject
    live = live_of(world, event.station_id, known.key)
    fits = live is not None and live.currency == terms.currency and _fresh(world, live, event.received_at)
    fits = fits and live is not None and live.amount_minor >= amount_minor
    if live is not None and live.state == "authorized" and not fits:
        _change(world, changes, live, live._replace(state="voiding", reason="unused"))
        changes.errands.append(errand.void(live.id))
        live = None
    if live is None:
        live = Authorization(
            id=event.authorization_id,
            station_id=event.station_id,
            token_key=known.key,
            psp=known.psp,
            policy=world.rules.policies[known.psp],
            issuer=known.issuer,
            subject=known.subject,
            driver_id=known.driver_id,
            amount_minor=amount_minor,
            currency=terms.currency,
            state="asking",
            psp_ref=None,
            reason=None,
            session_id=None,
            asked_at=event.received_at,
            decided_at=None,
            version=1,
        )
        changes.asked[live.id] = world.authorizations[live.id] = live
        world.live[live.station_id, live.token_key] = live.id
    if live.state == "asking":
        changes.asks[live.id] = live.ask()
    return live


def live_of(world: World, station_id: str, key: bytes) -> Authorization | None:
    """The authorization of a token at a station that is asked for, or waits to be used."""
    id_ = world.live.get((station_id, key))
    return world.authorizations[id_] if id_ is not None else None


def _fresh(world: World, authorization: Authorization, now: datetime) -> bool:
    decided_at = authorization.decided_at or authorization.asked_at
    return now - decided_at <= timedelta(seconds=world.rules.authorization_s_max)


def _use(world: World, changes: Changes, session: Session, authorization: Authorization) -> Session:
    """This session takes the authorization; nobody else can."""
    assert authorization.driver_id is not None
    _change(world, changes, authorization, authorization._replace(state="used", session_id=session.id))
    held = 0 if authorization.policy == "charge_after" else authorization.amount_minor
    if authorization.policy == "pay_before_refund_rest":
        changes.postings.append(billing.use(authorization, session.id))
    return accepted(session._replace(policy=authorization.policy), authorization.driver_id, held)


def _change(world: World, changes: Changes, before: Authorization, after: Authorization) -> None:
    """Records a new image; the version grows by one per batch."""
    if after.id in changes.asked:
        changes.asked[after.id] = after
    else:
        if after.id not in changes.decided:
            after = after._replace(version=before.version + 1)
        changes.decided[after.id] = after
    world.authorizations[after.id] = after
    if after.state not in ("asking", "authorized"):
        world.live.pop((after.station_id, after.token_key), None)


def _driver(world: World, changes: Changes, person: tuple[str, str], drawn: str, at: datetime) -> str:
    """The driver behind (issuer, subject); one who is unseen becomes a driver now."""
    driver_id = world.identities.get(person)
    if driver_id is None:
        driver_id = world.identities[person] = drawn
        changes.drivers[person] = (drawn, at)
    return driver_id


def decided(world: World, changes: Changes, event: AuthorizationDecided) -> Outcome:
    """
    Folds a verdict into its authorization. An approval after its time ran out is voided.

    So is one after a refusal: a psp that knew nothing of an ask yet was taken for one that declined it.
    """
    before = world.authorizations.get(event.authorization_id)
    if before is None:
        return RECORDED
    verdict = "timed_out" if event.verdict == "unknown" else event.verdict
    after = before
    match before.state, verdict:
        case "asking", "authorized":
            person = (before.issuer, before.subject)
            driver_id = before.driver_id or _driver(world, changes, person, event.driver_id, event.received_at)
            after = before._replace(state="authorized", driver_id=driver_id, psp_ref=event.psp_ref)
            if before.policy == "pay_before_refund_rest":
                changes.postings.append(billing.paid_before(after, event.received_at))
        case "asking" | "timed_out", "declined":
            after = before._replace(state="declined", reason=event.reason)
        case "asking", "timed_out":
            after = before._replace(state="timed_out", reason=event.reason)
        case "timed_out" | "declined", "authorized":
            after = before._replace(state="voiding", psp_ref=event.psp_ref)
            if before.policy == "pay_before_refund_rest":
                # whoever paid is a driver: their money goes back, or to their balance if it cannot
                person = (before.issuer, before.subject)
                driver_id = before.driver_id or _driver(world, changes, person, event.driver_id, event.received_at)
                after = after._replace(driver_id=driver_id)
                changes.postings.append(billing.paid_before(after, event.received_at))
            changes.errands.append(errand.void(before.id))
        case _:
            pass  # a verdict heard again
    if after is not before:
        _change(world, changes, before, after._replace(decided_at=event.received_at))
    held = world.authorizations[event.authorization_id].state in ("authorized", "used")
    return Outcome("accepted") if held else Outcome("invalid", reason=event.reason or verdict)


def resolved(world: World, changes: Changes, session: Session, event: AuthorizationDecided) -> Session:
    """A session that waited for this verdict."""
    authorization = world.authorizations[event.authorization_id]
    if session.state not in ("pending", "incomplete"):
        return session
    if authorization.state == "authorized":
        return _use(world, changes, session, authorization)
    if authorization.state == "asking":
        return session
    used = authorization.state == "used"
    return refused(session, "token_used" if used else authorization.state, event.received_at)


def answer(world: World, changes: Changes, session: Session, may_wait: bool = True) -> Outcome:
    """What the station is told of its session, now and whenever it repeats a report."""
    if session.state == "invalid":
        return refusal(session.reason or "invalid", session.ref)
    waits_for = None
    if may_wait and session.authorization_id is not None and session.state in ("pending", "incomplete"):
        authorization = world.authorizations[session.authorization_id]
        changes.asks[authorization.id] = authorization.ask()
        waits_for = authorization.id
    priced = world.priced_of(session) if is_limited(session) else None
    limit = voucher_limit.told(world, session, priced) if priced is not None else None
    told = quote(world, session)
    fee_minor = None if session.fee_minor is None else session.fee_minor - session.drawn_minor
    return Outcome("accepted", session.ref, fee_minor, session.currency, waits_for, limit=limit, quote=told)


def refusal(reason: str, ref: str | None = None) -> Outcome:
    """What a station is told of a token that may not be used."""
    return Outcome(STATUS_BY_REASON.get(reason, "invalid"), ref, reason=reason)


def carry(world: World, posting: Posting) -> None:
    """Threads what a posting gives back to drivers to the reports behind it in the batch."""
    for transfer in posting.transfers:
        kind, _, rest = transfer.credit.partition(":")
        if kind == "driver" and rest.endswith(":balance"):
            key = (rest.removesuffix(":balance"), transfer.asset)
            if key in world.balances:
                world.balances[key] += transfer.minor
