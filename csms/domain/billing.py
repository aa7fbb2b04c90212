"""
Closing a session: its energy judged, its fee priced and divided, the money moved, the psp told.

`settle` is reached once per session, when its start, its end and its payer are all known.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from csms.base.ids import derived
from csms.domain import ledger
from csms.domain.ledger import Posting, transfers
from csms.domain.metering import Energy, interval
from csms.domain.session import Priced, Progress, Session, flagged
from csms.domain.settlement import Shares, divide
from csms.domain.tariff import Price, Usage, cap, price

HOLD_PLACE, SETTLE_PLACE, BILL_PLACE, COLLECT_PLACE, VOID_PLACE, REVIEW_PLACE, DISPUTE_PLACE = range(1, 8)
"""Which derived id a session's hold, settlement, bill, errands and exceptions take (`base.ids.derived`)."""

TIME_FLAGS = frozenset({"time_missing", "time_too_early", "time_ahead"})
"""Times that were not the station's own tell nothing of how long energy flowed."""


@dataclass(frozen=True, slots=True)
class Bill:
    """The priced record of one session, as it is stored and never changed. Minor units, Wh, seconds."""

    id: UUID
    session: Session
    energy_wh: int
    seconds: int
    price: Price
    not_charged_minor: int
    shares: Shares
    issued_at: datetime


@dataclass(frozen=True, slots=True)
class Errand:
    """Work for the worker, outside the database (a row of `outbox`)."""

    id: UUID
    kind: str
    key: str
    subject: str
    payload: dict[str, object]


@dataclass(frozen=True, slots=True)
class Concern:
    """Something people must look at (a row of `exception`); (kind, ref) is listed once."""

    id: UUID
    kind: str
    ref: str
    station_id: str | None
    details: dict[str, object]
    opened_at: datetime


@dataclass(frozen=True, slots=True)
class Closing:
    """What closing a session comes to."""

    session: Session
    bill: Bill | None = None
    postings: tuple[Posting, ...] = ()
    errands: tuple[Errand, ...] = ()
    exceptions: tuple[Concern, ...] = ()


def hold(session: Session, minor: int, at: datetime) -> Posting:
    """Sets `minor` of the driver's balance aside for this session."""
    assert session.currency and session.driver_id and minor > 0
    moves = transfers(
        session.currency,
        (ledger.driver_balance(session.driver_id), ledger.session_held(session.id), minor),
    )
    return Posting(derived(session.id, HOLD_PLACE), f"session/{session.id}/hold", "hold", str(session.id), at, moves)


def settle(session: Session, progress: Progress, priced: Priced | None, received_at: datetime) -> Closing:
    """
    Close a session whose start, end and payer are known.

    Evidence that is not plausible holds the bill for review, and the money set aside with it.
    """
    assert session.state == "active" and session.started_at and session.ended_at
    seconds = max(0, int((session.ended_at - session.started_at).total_seconds()))
    energy = interval(
        session.meter_start_wh,
        session.meter_end_wh,
        None if TIME_FLAGS & set(session.flags) else seconds,
        session.max_power_w,
        progress.highest_wh,
        progress.lowest_wh,
        progress.mean_power_w(),
    )
    session = session._replace(flags=flagged(session.flags, *energy.flags), closed_at=received_at)
    if energy.held or priced is None:
        return _review(session, energy, "no_tariff" if priced is None else "implausible_energy", received_at)

    bill = _bill(session, energy.wh, seconds, priced, received_at)
    session = session._replace(state="completed", energy_wh=energy.wh, fee_minor=bill.price.total_minor)
    moves = _moves(session, bill)
    posting = Posting(
        derived(session.id, SETTLE_PLACE),
        f"session/{session.id}/settle",
        "settle",
        str(session.id),
        session.ended_at or received_at,
        moves,
    )
    return Closing(
        session,
        bill,
        (posting,) if moves else (),
        _errands(session, bill),
    )


def _bill(session: Session, energy_wh: int, seconds: int, priced: Priced, issued_at: datetime) -> Bill:
    """
    Zero energy costs nothing. The fee never exceeds what was held; nothing is held by a psp that
    charges afterwards. What began offline is charged whole, the rest as debt (docs/explanation/ledger.md),
    unless a psp holds for it all the same (its token came online): of a hold no more can be taken.
    """
    full = price(Usage(energy_wh, seconds), priced.tariff)
    if energy_wh == 0:
        full = cap(full, 0)
    held = session.hold_minor > 0 and (session.means == "psp" or not session.offline)
    due = cap(full, session.hold_minor) if held else full
    not_charged = full.total_minor - due.total_minor
    shares = divide(due.total_minor, priced.split, due.vat_minor)
    return Bill(derived(session.id, BILL_PLACE), session, energy_wh, seconds, due, not_charged, shares, issued_at)


def _moves(session: Session, bill: Bill) -> tuple[ledger.Transfer, ...]:
    """The fee into the session's held account, out of it to the payees, and the rest back to the driver."""
    assert session.currency and session.driver_id
    held = ledger.session_held(session.id)
    fee, shares = bill.price.total_minor, bill.shares
    moves: list[tuple[str, str, int]] = []
    if session.means == "psp":
        assert session.psp
        moves.append((ledger.psp_receivable(session.psp), held, fee))
        rest = 0
    else:
        short = max(0, fee - session.hold_minor)
        moves.append((ledger.driver_debt(session.driver_id), held, short))
        rest = session.hold_minor + short - fee
    moves += [
        (held, ledger.provider_payable(session.provider_id), shares.provider_minor),
        (held, ledger.OPERATOR_FEE, shares.operator_minor),
        (ledger.OPERATOR_FEE, ledger.VAT_OUTPUT, shares.operator_vat_minor),
        (held, ledger.driver_balance(session.driver_id), rest),
    ]
    return ledger.transfers(session.currency, *moves)


def _errands(session: Session, bill: Bill) -> tuple[Errand, ...]:
    """What the psp is told: collect and settle the fee, or let go of what it holds."""
    if session.means != "psp":
        return ()
    subject = f"session/{session.id}"
    if bill.price.total_minor > 0:
        payload: dict[str, object] = {"bill": str(bill.id), "session": str(session.id), "station": session.station_id}
        return (Errand(derived(session.id, COLLECT_PLACE), "psp.collect", f"{subject}/collect", subject, payload),)
    if session.authorization_id is None or session.hold_minor == 0:
        return ()
    return (void(session.authorization_id),)


def void(authorization_id: UUID) -> Errand:
    """Lets the psp release what it holds for an authorization."""
    subject = f"authorization/{authorization_id}"
    payload: dict[str, object] = {"authorization": str(authorization_id)}
    return Errand(derived(authorization_id, VOID_PLACE), "psp.void", f"{subject}/void", subject, payload)


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
