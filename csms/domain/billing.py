"""
Closing a session: its energy judged, its fee priced and divided, the money moved, the psp told.

`settle` is reached when a session's start, its end and its payer are all known. What happens to a bill
afterwards is in `corrections.py` and `provisional.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Literal
from uuid import UUID

from csms.base.ids import derived, uuid7
from csms.domain import ledger, voucher
from csms.domain.authorization import Authorization
from csms.domain.errand import Concern, Errand, after_bill
from csms.domain.events import Reading
from csms.domain.ledger import Move, Posting, Transfer, transfers
from csms.domain.metering import Energy
from csms.domain.session import COVERED, VOUCHERS, Priced, Session, SharesBy, flagged
from csms.domain.settlement import Shares, divide
from csms.domain.tariff import Period, Price, Usage, cap, price
from csms.domain.tariff_own import Drawn
from csms.domain.usage import periods

HOLD_PLACE, SETTLE_PLACE, BILL_PLACE, REVIEW_PLACE, DISPUTE_PLACE = 1, 2, 3, 6, 7
"""Which derived id a session's hold, settlement, bill, errands and exceptions take (`base.ids.derived`)."""

PAID_PLACE = 11
"""The derived id, of an authorization, of the posting of what was paid before."""

REVISIONS_MAX = 50
"""Bills of one session, credits included. Derived ids have places for as many."""

SETTLE_PLACES, BILL_PLACES = 100, 160
"""From the second bill on, its settlement and itself take the place of its number, counted from here."""


@dataclass(frozen=True, slots=True)
class Bill:
    """
    The priced record of one session, as it is stored and never changed. Minor units, Wh, seconds.

    A `credit` has negative amounts and names the charge it takes back or lessens. `shares_by` is fixed
    here: the psp pays the shares of what it collects, if the terms say so; else the statement run does.
    """

    id: UUID
    session: Session
    energy_wh: int
    seconds: int
    price: Price
    not_charged_minor: int
    shares: Shares
    issued_at: datetime
    revision: int = 1
    corrects: UUID | None = None
    reason: str | None = None
    made_by: str | None = None
    shares_by: SharesBy = "run"
    periods: tuple[Period, ...] | None = None
    """When and how the energy flowed, where the tariff asks."""

    @property
    def kind(self) -> Literal["charge", "credit"]:
        """Whether it asks for money or gives some back."""
        return "charge" if self.corrects is None else "credit"


Cover = Callable[[Usage], Usage]


def as_it_is(used: Usage) -> Usage:
    """No voucher pays anything of it."""
    return used


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing a session comes to."""

    session: Session
    bill: Bill | None = None
    postings: tuple[Posting, ...] = ()
    errands: tuple[Errand, ...] = ()
    exceptions: tuple[Concern, ...] = ()
    drawn: tuple[Drawn, ...] = ()
    """What it takes of vouchers."""


def hold(session: Session, minor: int, at: datetime) -> Posting:
    """Sets `minor` of the driver's balance aside for this session."""
    assert session.currency and session.driver_id and minor > 0
    moves = transfers(
        session.currency,
        (ledger.driver_balance(session.driver_id), ledger.session_held(session.id), minor),
    )
    return Posting(derived(session.id, HOLD_PLACE), f"session/{session.id}/hold", "hold", str(session.id), at, moves)


def more_held(session: Session, minor: int, at: datetime) -> Posting:
    """Sets `minor` more of the balance aside for a session whose hold was raised by it; once for each amount held."""
    assert session.currency and session.driver_id and minor > 0
    move = (ledger.driver_balance(session.driver_id), ledger.session_held(session.id), minor)
    key = f"session/{session.id}/hold/{session.hold_minor}"
    id_ = uuid7(int(at.timestamp() * 1000), int.from_bytes(sha256(key.encode()).digest()[:10]))
    return Posting(id_, key, "hold", str(session.id), at, transfers(session.currency, move))


def paid_before(authorization: Authorization, at: datetime) -> Posting:
    """A psp took the whole amount: it is kept for the session that will use it."""
    held, id_ = ledger.authorization_held(authorization.id), authorization.id
    move = (ledger.psp_clearing(authorization.psp), held, authorization.amount_minor)
    moves = transfers(authorization.currency, move)
    return Posting(derived(id_, PAID_PLACE), f"authorization/{id_}/paid", "paid_before", str(id_), at, moves)


def use(authorization: Authorization, session_id: UUID) -> Posting:
    """What was paid before is set aside for this session."""
    held, id_ = ledger.authorization_held(authorization.id), authorization.id
    moves = transfers(authorization.currency, (held, ledger.session_held(session_id), authorization.amount_minor))
    at = authorization.decided_at or authorization.asked_at
    return Posting(derived(session_id, HOLD_PLACE), f"authorization/{id_}/used", "hold", str(session_id), at, moves)


def elapsed_s(session: Session) -> int:
    """Whole seconds from its start to its end, as billed."""
    assert session.started_at and session.ended_at
    return max(0, int((session.ended_at - session.started_at).total_seconds()))


def asks_when(session: Session, priced: Priced) -> bool:
    """Whether it matters when and how its energy flowed, so that its readings are needed."""
    return priced.tariff.needs_profile or VOUCHERS in session.flags


def usage(session: Session, energy_wh: int, seconds: int, priced: Priced, series: Sequence[Reading] | None) -> Usage:
    """
    What a session used. Where its tariff or a voucher asks when, its readings (by time) tell; `series` must be there.

    Corrected energy is spread as the readings say, as far as they reach.
    """
    if not asks_when(session, priced):
        return Usage(energy_wh, seconds)
    assert session.started_at is not None and series is not None
    registers = [reading.register_wh for reading in series if reading.register_wh is not None]
    base = session.meter_start_wh
    if base is None:
        base = min(registers, default=0)
    end = session.started_at + timedelta(seconds=seconds)
    return Usage(energy_wh, seconds, periods(series, session.started_at, end, base, base + energy_wh))


def settle(
    session: Session,
    energy: Energy,
    priced: Priced | None,
    received_at: datetime,
    series: Sequence[Reading] | None = None,
    *,
    final: bool = True,
    cover: Cover = as_it_is,
) -> Closing:
    """
    Close a session whose start, end and payer are known, and its energy judged; not `final` when its end is our guess.

    `cover` says what vouchers pay of it. Evidence that is not plausible holds the bill for review, and the money set
    aside with it.
    """
    assert session.state == "active"
    session = session._replace(flags=flagged(session.flags, *energy.flags), closed_at=received_at)
    if energy.held or priced is None:
        return _review(session, energy, "no_tariff" if priced is None else energy.why, received_at)
    used = cover(usage(session, energy.wh, elapsed_s(session), priced, series))
    return close(session, used, priced, received_at, final=final)


def close(
    session: Session,
    used: Usage,
    priced: Priced,
    at: datetime,
    *,
    final: bool = True,
    waived: bool = False,
    reason: str | None = None,
    by: str | None = None,
) -> Closing:
    """
    Bill a session and move the money that was set aside for it.

    Not `final`: what is not spent stays set aside, and no psp is told yet (a provisional end). `waived`:
    the bill says what was used, and nothing is charged.
    """
    revision = session.revision + 1
    used = replace(used, covered=()) if waived else used
    due, not_charged = charged(session, used, priced, waived)
    shares = divide(due.total_minor, priced.split, due.vat_minor, session.host_bp)
    energy_wh, seconds = int(used.energy_wh), int(used.seconds)
    drawn = used.drawn
    session = session._replace(
        state="completed" if final else "provisional",
        energy_wh=energy_wh,
        fee_minor=due.total_minor,
        drawn_minor=sum(part.minor for part in drawn),
        flags=flagged(session.flags, COVERED if drawn else None),
        revision=revision,
        closed_at=at,
    )
    bill = Bill(
        bill_id(session.id, revision),
        session,
        energy_wh,
        seconds,
        due,
        not_charged,
        shares,
        at,
        revision,
        reason=reason,
        made_by=by,
        shares_by=priced.shares_by if session.means == "psp" and not drawn else "run",
        periods=used.periods,
    )
    moves = [*_funded(session, due.total_minor - session.drawn_minor), *paid_out(session, shares)]
    if final:
        moves += rest(session)
    assert session.ended_at is not None
    posting = settlement(session, revision, session.ended_at, moves, voucher.draw_down(session.id, drawn))
    errands = after_bill(session, bill.id, unspent_minor(session)) if final else ()
    return Closing(session, bill, posting, errands, drawn=drawn)


def bill_id(session_id: UUID, revision: int) -> UUID:
    """The id of a session's bill number `revision`."""
    assert 0 < revision <= REVISIONS_MAX
    return derived(session_id, BILL_PLACE if revision == 1 else BILL_PLACES + revision)


def settlement(
    session: Session, revision: int, at: datetime, moves: list[Move], drawn: Sequence[Transfer] = ()
) -> tuple[Posting, ...]:
    """The posting of one bill, none if nothing moves; what vouchers give comes first."""
    assert session.currency and 0 < revision <= REVISIONS_MAX
    key = f"session/{session.id}/settle" + ("" if revision == 1 else f"/{revision}")
    place = SETTLE_PLACE if revision == 1 else SETTLE_PLACES + revision
    moved = (*drawn, *transfers(session.currency, *moves))
    return (Posting(derived(session.id, place), key, "settle", str(session.id), at, moved),) if moved else ()


def charged(session: Session, used: Usage, priced: Priced, waived: bool = False) -> tuple[Price, int]:
    """
    What is charged for a use, and what is not though it was used (minor units).

    Zero energy costs nothing, but for a rental. The fee never exceeds what was held; nothing is held by a psp that
    charges afterwards. What began offline is charged whole, the rest as debt (docs/explanation/ledger.md),
    unless a psp holds for it all the same (its token came online): of a hold no more can be taken. Who leans on
    vouchers and uses more than they and the balance reach owes the rest: another use may have had them meanwhile.
    """
    full = price(used, priced.tariff, session.time_zone)
    if used.energy_wh == 0 and used.own is None:
        full = cap(full, 0)
    owes = session.offline or bool(used.drawn) or VOUCHERS in session.flags
    held = session.hold_minor > 0 and (session.means == "psp" or not owes)
    due = cap(full, session.hold_minor + used.drawn_minor) if held else full
    if waived:
        due = cap(full, 0)
    return due, full.total_minor - due.total_minor


def _funded(session: Session, fee_minor: int) -> list[Move]:
    """What comes into the held account for the fee: nothing where all of it was set aside before."""
    held = ledger.session_held(session.id)
    if session.policy == "pay_before_refund_rest":
        return []
    if session.means == "psp":
        assert session.psp
        return [(ledger.psp_receivable(session.psp), held, fee_minor)]
    assert session.driver_id
    return [(ledger.driver_debt(session.driver_id), held, max(0, fee_minor - session.hold_minor))]


def paid_out(session: Session, shares: Shares) -> list[Move]:
    """The fee out of the held account to the payees; of the operator's share the VAT goes on."""
    held = ledger.session_held(session.id)
    return [
        (held, ledger.provider_payable(session.provider_id), shares.provider_minor),
        (held, ledger.OPERATOR_FEE, shares.operator_minor),
        (ledger.OPERATOR_FEE, ledger.VAT_OUTPUT, shares.operator_vat_minor),
        *((held, host, minor) for host, minor in of_host(session, shares.host_minor)),
    ]


def of_host(session: Session, minor: int) -> list[tuple[str, int]]:
    """The account of the host whose electricity was used, and its share; nothing where there is none."""
    if not minor:
        return []
    assert session.site_id is not None
    return [(ledger.site_payable(session.site_id), minor)]


def unspent_minor(session: Session) -> int:
    """What is still in the held account once the fee is out of it; a psp's own hold is no money of ours."""
    assert session.fee_minor is not None
    if session.means == "psp" and session.policy != "pay_before_refund_rest":
        return 0
    return max(0, session.hold_minor - (session.fee_minor - session.drawn_minor))


def rest(session: Session) -> list[Move]:
    """What was not spent goes back to where it came from."""
    held = ledger.session_held(session.id)
    if session.means == "psp":
        assert session.psp
        return [(held, ledger.psp_refunds(session.psp), unspent_minor(session))]
    assert session.driver_id
    return [(held, ledger.driver_balance(session.driver_id), unspent_minor(session))]


def _review(session: Session, energy: Energy, why: str, at: datetime) -> Closing:
    """The hold stays; people decide."""
    details: dict[str, object] = {
        "session": str(session.id),
        "why": why,
        "claimed_wh": energy.claimed_wh,
        "flags": list(session.flags),
    }
    listed = Concern(
        derived(session.id, REVIEW_PLACE), "session_review", str(session.id), session.station_id, details, at
    )
    return Closing(session._replace(state="review", reason=why), exceptions=(listed,))
