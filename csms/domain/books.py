"""What is written of a session's money, as far as decisions about it need it: bills, payments, balance and debt."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from csms.domain.billing import Bill
from csms.domain.session import SharesBy
from csms.domain.settlement import Shares
from csms.domain.tariff_own import Drawn


class Issued(NamedTuple):
    """The amounts of a bill that stands, in minor units, Wh and seconds; negative ones of a credit."""

    id: UUID
    revision: int
    kind: str
    energy_wh: int
    seconds: int
    total_minor: int
    vat_minor: int
    not_charged_minor: int
    operator_minor: int
    operator_vat_minor: int
    provider_minor: int
    host_minor: int
    shares_by: SharesBy

    def shares(self) -> Shares:
        """Its shares."""
        provider_vat_minor = self.vat_minor - self.operator_vat_minor
        return Shares(
            self.operator_minor, self.provider_minor, self.operator_vat_minor, provider_vat_minor, self.host_minor
        )


def issued(bill: Bill) -> Issued:
    """The amounts of a bill that is made just now."""
    due, shares = bill.price, bill.shares
    return Issued(
        bill.id,
        bill.revision,
        bill.kind,
        bill.energy_wh,
        bill.seconds,
        due.total_minor,
        due.vat_minor,
        bill.not_charged_minor,
        shares.operator_minor,
        shares.operator_vat_minor,
        shares.provider_minor,
        shares.host_minor,
        bill.shares_by,
    )


AMOUNTS = Issued._fields[3:-1]


class Left(NamedTuple):
    """A payment of a session, and how much of it can still go back."""

    id: UUID
    psp: str
    left_minor: int


@dataclass(frozen=True, slots=True)
class Books:
    """
    What is written of a session's money: its bills, its payments newest first, its driver's balance and debt.

    `collection` is how far its psp's job is: `waiting`, `done`, `given_up`, or None without one. `receivable_minor`
    is what the psp was to take and nobody knows that it did. `taken` is what it has of each voucher.
    """

    issued: tuple[Issued, ...] = ()
    payments: tuple[Left, ...] = ()
    collection: str | None = None
    balance_minor: int = 0
    debt_minor: int = 0
    receivable_minor: int = 0
    taken: tuple[Drawn, ...] = ()

    @property
    def gifted_minor(self) -> int:
        """What gifts paid of it."""
        return sum(part.minor for part in self.taken if part.funded_by is not None)

    def charge(self) -> Issued:
        """The charge that counts: the newest."""
        return max((bill for bill in self.issued if bill.kind == "charge"), key=lambda bill: bill.revision)

    def net(self) -> Issued:
        """Everything billed so far in one row, named like the charge that counts."""
        sums = {name: sum(getattr(bill, name) for bill in self.issued) for name in AMOUNTS}
        return self.charge()._replace(**sums)


class RefundRow(NamedTuple):
    """A row of `refund`: part of a payment on its way back."""

    id: UUID
    payment_id: UUID
    amount_minor: int
    session_id: UUID
    bill_id: UUID
    reason: str
    requested_by: str
    asked_at: datetime
