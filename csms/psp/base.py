"""
The psp port: what we ask of a payment service, and what can come back.

How a call can end (`Answer.end`):

done        it had its effect
declined    the psp, the bank or the driver's limit said no; asking again gives the same answer
retryable   it was certainly not carried out (not sent, or refused for load): again, under the same key
our_fault   the request breaks a rule or our secret is wrong; a person must look
unknown     sent, and no clear answer came: look with `get`, or ask again under the same key, never under a new one
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol
from uuid import UUID, uuid5

from csms.domain.authorization import Ask

End = Literal["done", "declined", "retryable", "our_fault", "unknown"]

Standing = Literal["missing", "held", "stored", "taken", "released", "declined", "settled", "unknown"]
"""How a thing stands at the psp: no such thing, money held, means stored, money taken, hold released, ..."""

Kind = Literal["hold", "stored", "charge", "settlement"]

PSP_KEYS = UUID("6f1c2f4e-6d52-5c0b-9a1d-3d0f6f0f4f11")
"""Namespace of the idempotency keys that are made from an authorization's id."""


def ask_key(authorization_id: UUID) -> str:
    """The idempotency key of asking for one authorization: the same for every repeat, also after a restart."""
    return str(uuid5(PSP_KEYS, f"authorization/{authorization_id}/ask"))


@dataclass(frozen=True, slots=True)
class Caps:
    """What a psp can do. `hold_s_max`: how long it keeps a hold; `amount_minor_min`: the least it takes."""

    hold: bool
    partial_capture: bool
    stored_token: bool
    split_remit: bool
    currencies: frozenset[str]
    amount_minor_min: int
    hold_s_max: int


@dataclass(frozen=True, slots=True)
class VerifiedToken:
    """A good token: `subject` is how `issuer` names the person, and `psp` will be asked for the money."""

    psp: str
    issuer: str
    subject: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Denied:
    """A token that is not good, or cannot be judged now; `reason` is for logs and holds nothing of the token."""

    reason: str


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended. `psp_ref` names the payment, stored means or settlement there."""

    end: End
    psp_ref: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """How a thing stands at the psp now; `amount_minor` is what is held or was taken."""

    standing: Standing
    psp_ref: str | None = None
    amount_minor: int | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Charge:
    """Taking a fee afterwards, by the means that `psp_ref` stands for. `order` names the use, once for ever."""

    order: str
    psp_ref: str
    subject: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class PayeeShare:
    """One payee's account at the psp and its part of the fee, in minor units, above 0."""

    account: str
    amount_minor: int


@dataclass(frozen=True, slots=True)
class SettlementMessage:
    """The one message per session: the fee taken as `psp_ref`, who gets which part, what the driver is told."""

    order: str
    psp_ref: str
    fee_minor: int
    currency: str
    shares: tuple[PayeeShare, ...]
    details: Mapping[str, object]


class Psp(Protocol):
    """A payment service. No method raises for what the outside does; every key makes one effect at most."""

    name: str
    caps: Caps

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """Whose token is this? Judged on the wall clock."""
        ...

    async def authorize(self, key: str, ask: Ask) -> Answer:
        """`hold_capture`: set the amount aside. `charge_after`: check and store the means. `psp_ref` names it."""
        ...

    async def capture(self, key: str, psp_ref: str, amount_minor: int, currency: str) -> Answer:
        """Take a part (or all) of a hold, once; the rest is released."""
        ...

    async def void(self, key: str, psp_ref: str) -> Answer:
        """Release a hold."""
        ...

    async def charge(self, key: str, charge: Charge) -> Answer:
        """Take a fee by stored means; `psp_ref` names the payment."""
        ...

    async def remit(self, key: str, message: SettlementMessage) -> Answer:
        """Have the shares paid and the driver told."""
        ...

    async def get(self, kind: Kind, ref: str) -> Found:
        """
        How it stands now.

        `hold` and `stored` (what `authorize` made, by policy): `ref` is the authorization's id. `charge`
        and `settlement`: `ref` is the order.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
