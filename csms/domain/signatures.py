"""What signed values do to a session: valid ones are its evidence, forged ones hold its bill."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from csms.base.ids import derived
from csms.domain.errand import Concern
from csms.domain.events import Signed
from csms.domain.metering import SIGNATURE_INVALID, SIGNED_END, SIGNED_START
from csms.domain.plausible import TOLERANCE_WH
from csms.domain.session import CLOSED, Session, flagged

FORGED_PLACE = 40
"""The derived id of the exception that tells of a forged value that came after the bill."""

REGISTER_DIFFERS = "signed_register_differs"


class SignedRow(NamedTuple):
    """A signed value and where it belongs: a row of `signed_value`, column by column."""

    session_id: UUID
    context: str
    digest: bytes
    station_id: str
    connector: int | None
    at: datetime
    encoding: str
    raw: str
    verdict: str
    reason: str | None
    register_wh: int | None
    received_at: datetime


def row(session: Session, value: Signed, received_at: datetime) -> SignedRow:
    """The value as it is stored; what was signed and is reported again is the same row."""
    return SignedRow(
        session.id, value.context, value.digest, session.station_id, session.connector, value.at, value.encoding,
        value.raw, value.verdict, value.reason, value.register_wh, received_at,
    )  # fmt: skip


def own(session: Session, value: Signed, taken: Mapping[bytes, UUID]) -> Signed:
    """
    The value as this session may have it: invalid if another took it for its begin or end before (`taken`, by digest).

    A meter signs each moment once. Sent for a second session, it would have its driver pay for the first one's energy.
    """
    owner = taken.get(value.digest, session.id)
    if value.verdict != "valid" or value.context == "other" or owner == session.id:
        return value
    return value._replace(verdict="invalid", reason=f"it is evidence of session {owner}")


def noted(session: Session, values: Iterable[Signed]) -> Session:
    """
    The session with what its meter signed: registers that stand instead of reported ones, or a flag.

    Of several valid begins (ends) the first counts. A session that is closed keeps its registers.
    """
    for value in values:
        if session.state in CLOSED or value.context == "other":
            continue
        if value.verdict == "invalid":
            session = session._replace(flags=flagged(session.flags, SIGNATURE_INVALID))
        elif value.verdict == "valid" and value.register_wh is not None:
            session = _begun(session, value.register_wh) if value.context == "begin" else _over(session, value)
    return session


def _begun(session: Session, register_wh: int) -> Session:
    if SIGNED_START in session.flags:
        return session
    differs = _differs(session.meter_start_wh, register_wh)
    return session._replace(meter_start_wh=register_wh, flags=flagged(session.flags, SIGNED_START, differs))


def _over(session: Session, value: Signed) -> Session:
    if SIGNED_END in session.flags:
        return session
    differs = _differs(session.meter_end_wh, value.register_wh)
    return session._replace(meter_end_wh=value.register_wh, flags=flagged(session.flags, SIGNED_END, differs))


def _differs(reported_wh: int | None, signed_wh: int | None) -> str | None:
    if reported_wh is None or signed_wh is None or abs(reported_wh - signed_wh) <= TOLERANCE_WH:
        return None
    return REGISTER_DIFFERS


def standing(session: Session, before: Session) -> Session:
    """
    After a fact was folded in: a register that the meter signed stays, though the fact brought another.

    `before` is the session without the fact.
    """
    if SIGNED_START in before.flags and session.meter_start_wh != before.meter_start_wh:
        differs = _differs(session.meter_start_wh, before.meter_start_wh)
        session = session._replace(meter_start_wh=before.meter_start_wh, flags=flagged(session.flags, differs))
    if SIGNED_END in before.flags and session.meter_end_wh != before.meter_end_wh:
        differs = _differs(session.meter_end_wh, before.meter_end_wh)
        session = session._replace(meter_end_wh=before.meter_end_wh, flags=flagged(session.flags, differs))
    return session


def forged_late(session: Session, values: Iterable[Signed], received_at: datetime) -> Concern | None:
    """What people must see: a forged begin or end of a session whose bill is made."""
    forged = [value for value in values if value.verdict == "invalid" and value.context != "other"]
    if not forged or session.state not in CLOSED or session.state == "review":
        return None
    details: dict[str, object] = {"session": str(session.id), "context": forged[0].context, "reason": forged[0].reason}
    id_ = derived(session.id, FORGED_PLACE)
    return Concern(id_, SIGNATURE_INVALID, str(session.id), session.station_id, details, received_at)
