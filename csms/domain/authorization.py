"""Asking a psp before energy flows: what is asked, and the row that waits for the verdict."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

Policy = Literal["hold_capture", "charge_after", "pay_before_refund_rest"]
"""
`hold_capture` sets the amount aside now and takes the fee of it at the end; `charge_after` checks a stored means
now and charges the fee at the end; `pay_before_refund_rest` takes the amount now and gives the rest back.
"""

State = Literal["asking", "authorized", "declined", "timed_out", "used", "voiding", "voided"]


@dataclass(frozen=True, slots=True)
class Ask:
    """
    One question to a psp: may this person use this station for at most `amount_minor`?

    `authorization_id` is the row that waits for the verdict; the psp's idempotency key is made from it.
    """

    authorization_id: UUID
    station_id: str
    psp: str
    issuer: str
    subject: str
    amount_minor: int
    currency: str
    policy: Policy


class Authorization(NamedTuple):
    """One row of the table `psp_authorization`, field by field; see its comments there."""

    id: UUID
    station_id: str
    token_key: bytes
    psp: str
    policy: Policy
    issuer: str
    subject: str
    driver_id: str | None
    amount_minor: int
    currency: str
    state: State
    psp_ref: str | None
    reason: str | None
    session_id: UUID | None
    asked_at: datetime
    decided_at: datetime | None
    version: int

    def ask(self) -> Ask:
        """The question this row stands for."""
        return Ask(
            self.id,
            self.station_id,
            self.psp,
            self.issuer,
            self.subject,
            self.amount_minor,
            self.currency,
            self.policy,
        )
