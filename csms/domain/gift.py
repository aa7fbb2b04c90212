"""
Vouchers that are given away: who pays for them, and the units that come and go with their codes.

Nobody has paid for a gift, so no money is deferred for it. What a use takes of it is paid by its funder there and then
(`voucher.draw_down`): what is never used, ends or is taken back has cost nothing, and nobody can turn a gift into cash.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Literal, NamedTuple
from uuid import UUID

from csms.domain import gift_code, ledger, token
from csms.domain.ledger import Posting, Transfer
from csms.domain.pack_rows import Unit

Funder = Literal["operator", "provider"]


class Gift(NamedTuple):
    """One code of a batch: its voucher, its driver without a name, and the hash that is kept of it."""

    voucher_id: UUID
    bearer: str
    code: str
    key: bytes


def made(voucher_id: UUID, random_95: int) -> Gift:
    """A gift of that id with a code of `gift_code.RANDOM_BITS` random bits."""
    code = gift_code.make(random_95)
    return Gift(voucher_id, f"gift-{voucher_id.hex}", code, key(code))


def key(code: str) -> bytes:
    """What a code is found by, here and at stations: it is a token like any other."""
    return token.key(token.canonical(code))


def account(funder: Funder, provider_id: str | None) -> str:
    """The account that pays for what is used of a gift."""
    if funder == "operator":
        return ledger.CAMPAIGNS
    assert provider_id is not None
    return ledger.provider_payable(provider_id)


def given(posting_id: UUID, batch_id: str, vouchers: Sequence[UUID], unit: Unit, amount: int, at: datetime) -> Posting:
    """The units of a batch's vouchers are there."""
    moved = tuple(
        Transfer(ledger.units(unit), ledger.voucher_units(id_, unit), ledger.UNIT_ASSETS[unit], amount)
        for id_ in vouchers
    )
    return Posting(posting_id, f"voucher-batch/{batch_id}/give", "vouchers_given", batch_id, at, moved)


def revoked(
    posting_id: UUID, batch_id: str, vouchers: Sequence[UUID], unit: Unit, amount: int, at: datetime
) -> Posting:
    """The units of vouchers that nobody used go back. A batch may be revoked again, for what was in use before."""
    moved = tuple(
        Transfer(ledger.voucher_units(id_, unit), ledger.units(unit), ledger.UNIT_ASSETS[unit], amount)
        for id_ in vouchers
    )
    return Posting(posting_id, f"voucher-batch/{batch_id}/revoke/{posting_id}", "vouchers_revoked", batch_id, at, moved)
