"""Vehicles that ask for vouchers through a station, and what the station is answered."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from csms.domain.vehicle import Kind

NAME_LENGTH_MAX = 100


class VoucherAsk(NamedTuple):
    """
    A vehicle asks at a station for offers, or takes `offer` of the question `inquiry`.

    `id` is the message's own: a repeat has the same one, and one effect.
    """

    station_id: str
    id: str
    kind: Kind
    value: str
    inquiry: str | None = None
    offer: str | None = None


class OfferTold(NamedTuple):
    """A voucher that may be bought, as a station shows it."""

    id: str
    name: str
    fee_minor: int
    currency: str


class VoucherAnswer(NamedTuple):
    """
    Offers until `expires_at`; or the voucher that was bought, valid until then, and its price. `error` is a code.

    The codes are those of the protocol (docs/reference/assets).
    """

    error: str | None = None
    offers: tuple[OfferTold, ...] = ()
    voucher_id: str | None = None
    fee_minor: int = 0
    currency: str = ""
    expires_at: datetime | None = None
