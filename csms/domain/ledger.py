"""
The words of the ledger: addresses of accounts, transfers and postings.

Arrows read debit -> credit: a transfer takes `minor` from `debit` and gives it to `credit`. The
database's `post()` is the only writer; here is what it is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

OPERATOR_FEE = "operator:fee"
VAT_OUTPUT = "vat:output"
BANK = "bank"
CHARGEBACK = "chargeback"
BREAKAGE = "breakage"
"""What vouchers were paid for and never used, earned by a policy (`flows/voucher_ends.py`)."""
CAMPAIGNS = "operator:campaigns"
"""What the operator gave away: what was used of the gifts it funds. Below zero by that."""

Move = tuple[str, str, int]
"""(debit, credit, minor units): arrows read debit -> credit."""


def driver_balance(driver_id: str) -> str:
    """What we owe a driver: prepaid money. Guarded: never below zero."""
    return f"driver:{driver_id}:balance"


def driver_debt(driver_id: str) -> str:
    """What a driver owes us."""
    return f"driver:{driver_id}:debt"


def session_held(session_id: UUID) -> str:
    """Money set aside for one session. Guarded, one per use, so one use never spends another's hold."""
    return f"session:{session_id}:held"


def provider_payable(provider_id: str) -> str:
    """What we owe a provider."""
    return f"provider:{provider_id}:payable"


def site_payable(site_id: str) -> str:
    """What we owe the host of a site, for electricity that portable chargers took from it."""
    return f"site:{site_id}:payable"


def authorization_held(authorization_id: UUID) -> str:
    """What a psp took before a session exists to hold it. Guarded."""
    return f"authorization:{authorization_id}:held"


def psp_receivable(psp: str) -> str:
    """What a psp has promised and not yet captured."""
    return f"psp:{psp}:receivable"


def psp_clearing(psp: str) -> str:
    """What a psp holds for us."""
    return f"psp:{psp}:clearing"


def psp_refunds(psp: str) -> str:
    """What is on its way back through a psp, and not yet confirmed."""
    return f"psp:{psp}:refunds"


def psp_fee(psp: str) -> str:
    """What a psp keeps for its services."""
    return f"psp:{psp}:fee"


def voucher_deferred(voucher_id: UUID) -> str:
    """What was paid for a voucher and is not earned yet. Guarded."""
    return f"voucher:{voucher_id}:deferred"


def voucher_units(voucher_id: UUID, unit: str) -> str:
    """What is left of a voucher, in its unit (`UNIT_ASSETS`). Guarded: never below zero."""
    return f"voucher:{voucher_id}:{unit}"


def units(unit: str) -> str:
    """Where the units of vouchers come from and go to: less than nothing by what all vouchers still give."""
    return f"units:{unit}"


UNIT_ASSETS: Mapping[str, str] = {"wh": "XWH", "sec": "XSE", "cnt": "XCT", "val": "XVL"}
"""
What units of vouchers are counted as: watt-hours, seconds, deliveries, value in minor units of the voucher's currency.

ISO 4217 keeps codes that begin with X for what is no country's money.
"""


@dataclass(frozen=True, slots=True)
class Transfer:
    """`minor` > 0 units of `asset` (a currency, or one of `UNIT_ASSETS`) from `debit` to `credit`."""

    debit: str
    credit: str
    asset: str
    minor: int


@dataclass(frozen=True, slots=True)
class Posting:
    """Transfers that stand or fall together under one idempotency key."""

    id: UUID
    key: str
    kind: str
    ref: str
    event_at: datetime
    transfers: tuple[Transfer, ...]


def transfers(asset: str, *moves: Move) -> tuple[Transfer, ...]:
    """The moves `(debit, credit, minor)` as transfers; a move of nothing is left out."""
    return tuple(Transfer(debit, credit, asset, minor) for debit, credit, minor in moves if minor)
