"""Vouchers as signed documents (JWS): what a station or a vehicle may read of one; what counts is the system's book."""

from __future__ import annotations

import json
from uuid import UUID

from csms.api.auth import Signer
from csms.api.call import Call, Route
from csms.api.offer_tokens import driver_hash
from csms.api.payers import known
from csms.api.shapes import Answer
from csms.api.vouchers import SEE
from csms.base.errors import Conflict
from csms.db import Record
from csms.flows import vouchers

KIND = "voucher+jwt"
PURPOSE = "vouchers"
"""Type and audience are their own, so that a voucher is no access token, and no offer, nor one of them a voucher."""


class VoucherDocument(Answer):
    """A voucher as a signed document (JWS), to be verified with `/.well-known/jwks.json`."""

    document: str


def sign(signer: Signer, row: Record) -> str:
    """The document of a voucher, which is the same claims each time; nothing in it says whose it is."""
    return signer.sign(
        KIND,
        PURPOSE,
        {
            "jti": str(row["id"]),
            "driver": driver_hash(row["id"], row["driver_id"]),
            "product": row["product_id"],
            "version": row["product_version"],
            "unit": row["unit"],
            "total": row["total"],
            "price": {"minor": row["price_minor"], "currency": row["currency"]},
            **json.loads(row["terms"] or "{}"),  # `effect` and `conditions`, where it has them
            "iat": int(row["bought_at"].timestamp()),
            "nbf": int(row["valid_from"].timestamp()),
            "exp": int(row["valid_until"].timestamp()),
        },
    )


async def show_document(call: Call) -> VoucherDocument:
    """
    One voucher of a driver as a signed document (JWS), for those who cannot ask the system: 409 unless it is active.

    What is left of it, and whether it was given back since, only the system knows.
    """
    driver_id = await known(call.conn, call.path["driver"])
    row = await vouchers.show(call.conn, driver_id, UUID(call.path["voucher"]), call.parts.clock())
    if row["state"] != "active":
        raise Conflict(f"this voucher is {row['state']}")
    return VoucherDocument(document=sign(call.parts.access.signer, row))


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/drivers/{driver}/vouchers/{voucher}/document", show_document, SEE,
        "Show a voucher as a signed document", VoucherDocument,
    ),
)  # fmt: skip
