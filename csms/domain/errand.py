"""What is left to do outside the database (errands), and what people must look at (concerns)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from csms.base.ids import derived
from csms.domain.session import Session

COLLECT_PLACE, VOID_PLACE, REST_PLACE, DELIVER_PLACE = 4, 5, 8, 9
"""Which derived id an errand of a session, an authorization or a voucher takes (`base.ids.derived`)."""

REST_PLACES = 100
"""After the second bill, sending a rest on takes the place of the bill's number, counted from here."""


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


def after_bill(session: Session, charge_id: UUID, unspent: int) -> tuple[Errand, ...]:
    """
    What is done outside once a bill is final: the fee collected, or what was taken or held given back.

    `unspent` is what is left of the money that was set aside, in minor units.
    """
    subject = f"session/{session.id}"
    found: list[Errand] = []
    if session.means == "psp" and (session.fee_minor or 0) > session.drawn_minor:
        payload: dict[str, object] = {
            "bill": str(charge_id),
            "session": str(session.id),
            "station": session.station_id,
        }
        found.append(Errand(derived(session.id, COLLECT_PLACE), "psp.collect", f"{subject}/collect", subject, payload))
    elif session.means == "psp" and session.authorization_id is not None and session.policy == "hold_capture":
        found.append(void(session.authorization_id))
    if unspent and session.means == "psp":
        payload = {"session": str(session.id), "authorization": str(session.authorization_id), "minor": unspent}
        key = f"{subject}/refund_rest"
        found.append(Errand(derived(session.id, REST_PLACE), "psp.refund_rest", key, subject, payload))
    if unspent and session.rest == "refund" and session.means == "balance":
        found.append(refund_rest(session, unspent))
    return tuple(found)


def refund_rest(session: Session, minor: int) -> Errand:
    """Sends what went back to the balance on to the means it came from, as the driver chose."""
    payload: dict[str, object] = {"driver": session.driver_id, "minor": minor, "currency": session.currency}
    subject, number = f"session/{session.id}", session.revision
    key = f"{subject}/rest" + ("" if number == 1 else f"/{number}")
    place = REST_PLACE if number == 1 else REST_PLACES + number
    return Errand(derived(session.id, place), "balance.refund_rest", key, subject, payload)


def void(authorization_id: UUID) -> Errand:
    """Lets the psp release what it holds for an authorization."""
    subject = f"authorization/{authorization_id}"
    payload: dict[str, object] = {"authorization": str(authorization_id)}
    return Errand(derived(authorization_id, VOID_PLACE), "psp.void", f"{subject}/void", subject, payload)


def deliver(voucher_id: UUID, offer_id: UUID, station_id: str) -> Errand:
    """Hands a voucher to the station where its offer was asked for, when that is there."""
    subject = f"voucher/{voucher_id}"
    payload: dict[str, object] = {"offer": str(offer_id), "station": station_id}
    return Errand(derived(voucher_id, DELIVER_PLACE), "voucher.deliver", f"{subject}/deliver", subject, payload)
