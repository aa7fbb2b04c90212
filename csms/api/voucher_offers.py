"""A vehicle asks which vouchers there are for it, and is offered the ones that would have saved its driver money."""

from __future__ import annotations

import json
from datetime import datetime
from functools import partial
from typing import Annotated, Any
from uuid import UUID

from pydantic import StringConstraints

from csms.api.call import Call, Route, connection, system
from csms.api.offer_answers import Figures, figures
from csms.api.offer_tokens import sign
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, Moment, StationId
from csms.api.voucher_preview import Wording
from csms.base.errors import NotFound, Refused
from csms.base.money import SCALES
from csms.db import SQL, Record
from csms.domain import vehicle
from csms.domain.offer_words import Language
from csms.flows import offering, vehicles
from csms.flows.offering import Inquiry, Question

RETRY_AFTER_S = "60"


class NewInquiry(Body):
    """
    In which currency, and at which station the vehicle stands.

    Without a currency it is that of the station, else that of the driver's last session.
    """

    currency: Annotated[str, StringConstraints(pattern="^[A-Z]{3}$")] | None = None
    station: StationId | None = None


class VoucherOffer(Figures):
    """
    A voucher that may be bought for `price` until `valid_until`: by its `id`, or by `offer`, the same signed (JWS).

    What it does and where and when it counts is as in its product; it begins when it is bought.
    """

    id: str
    offer: str
    name: str
    provider: str | None
    unit: str
    amount: int
    valid_days: int
    uses_max: int | None
    effect: dict[str, Any] | None
    conditions: dict[str, Any] | None
    valid_until: Moment


class VoucherInquiry(Answer):
    """
    A question and what is offered, the best first; at least one voucher where any is on sale in this currency.

    Chosen by `sessions` within `days`; `tendency_version` null: no tendency is kept of this driver.
    """

    id: str
    vehicle: str
    driver: str
    station: str | None
    currency: str
    asked_at: Moment
    valid_until: Moment
    tendency_version: int | None
    confidence: str
    sessions: int
    days: int
    offers: list[VoucherOffer]


async def inquire(call: Call) -> VoucherInquiry:
    """
    Ask which vouchers there are for a vehicle: 409, which says what proves it, while it is not proven whose it is.

    Prices are the same for everybody; what is on sale is ordered by what it would have saved this driver.
    """
    new: NewInquiry = call.body
    if new.currency is not None and new.currency not in SCALES:
        raise Refused(f"the currency {new.currency} is not known", "/currency")
    now = call.parts.clock()
    row = await proven_vehicle(call, now)
    key = vehicle.shown(row["kind"], row["key"])
    question = Question(row["id"], row["driver_id"], new.currency, new.station, vehicle_key=key)
    try:
        inquiry = await offering.inquire(partial(system, call.parts), question, now)
    except offering.TooMany as error:
        raise Problem(429, str(error), headers={"Retry-After": RETRY_AFTER_S}) from None
    return _inquiry(call, inquiry)


async def proven_vehicle(call: Call, now: datetime) -> Record:
    """The vehicle in the address, which the client may know of; Conflict while it is not proven whose it is."""
    async with connection(call.parts) as conn:
        row = await SQL.show_vehicle.one(conn, UUID(call.path["vehicle"]))
    if row is None:
        raise NotFound("there is no such vehicle")
    if row["proven_at"] is None:
        async with system(call.parts) as conn:
            await vehicles.prove(conn, row, now)
    return row


def _inquiry(call: Call, inquiry: Inquiry) -> VoucherInquiry:
    question, known = inquiry.question, inquiry.known
    tokens = sign(call.parts.access, inquiry)
    return VoucherInquiry(
        id=str(inquiry.id), vehicle=str(question.vehicle_id), driver=question.driver_id, station=question.station_id,
        currency=inquiry.currency, asked_at=inquiry.asked_at, valid_until=inquiry.valid_until,
        tendency_version=inquiry.tendency,
        confidence=known.confidence, sessions=known.sessions, days=known.days,
        offers=[
            _offer(inquiry, place, token, call.query.language) for place, token in enumerate(tokens)
        ],
    )  # fmt: skip


def _offer(inquiry: Inquiry, place: int, token: str, language: Language) -> VoucherOffer:
    row = inquiry.rows[place]
    told = {name: row[name] for name in ("name", "unit", "amount", "valid_days", "uses_max")}
    terms = {name: None if row[name] is None else json.loads(row[name]) for name in ("effect", "conditions")}
    return VoucherOffer.model_validate(
        {
            **figures(inquiry.offers[place], inquiry.known, language), **told, **terms,
            "id": str(inquiry.ids[place]), "offer": token, "provider": row["provider_id"],
            "valid_until": inquiry.valid_until,
        }
    )  # fmt: skip


ASK = ("drivers:write", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/vehicles/{vehicle}/voucher-inquiries", inquire, ASK, "Ask which vouchers there are for a vehicle",
        VoucherInquiry, NewInquiry, Wording, status=201, connects=False, refuses=(429,),
    ),
)  # fmt: skip
