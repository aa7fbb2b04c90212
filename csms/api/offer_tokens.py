"""Offers as signed documents (JWS, RFC 7515): what was offered to whom, at which price, until when."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from uuid import UUID

from csms.api.auth import Access
from csms.flows.offering import Inquiry

KIND = "voucher-offer+jwt"
PURPOSE = "voucher-offers"
"""Type and audience are their own, so that an offer is no access token, nor an access token an offer."""

TOKEN_LENGTH_MAX = 4_096


def sign(access: Access, inquiry: Inquiry) -> Iterator[str]:
    """Each offer of an inquiry, in their order."""
    question = inquiry.question
    for id_, offer in zip(inquiry.ids, inquiry.offers, strict=True):
        product = offer.product
        yield access.signer.sign(
            KIND,
            PURPOSE,
            {
                "jti": str(id_),
                "inquiry": str(inquiry.id),
                "vehicle": str(question.vehicle_id),
                "driver": driver_hash(inquiry.id, question.driver_id),
                "product": product.id,
                "version": product.version,
                "price": {"minor": product.price_minor, "currency": product.currency},
                "iat": int(inquiry.asked_at.timestamp()),
                "exp": int(inquiry.valid_until.timestamp()),
            },
        )


def driver_hash(of_id: UUID, driver_id: str) -> str:
    """Another one in each inquiry, and of each voucher: who sees several cannot tell which are one driver's."""
    return hashlib.sha256(f"{of_id}/{driver_id}".encode()).hexdigest()


def read(access: Access, text: str) -> UUID | None:
    """The offer that a document of ours, or its plain id, names; None for anything else. Its time is not judged."""
    claims = access.signed(KIND, PURPOSE, text) if "." in text else {"jti": text}
    try:
        return None if claims is None else UUID(str(claims["jti"]))
    except (KeyError, ValueError):
        return None
