"""Which of some products would be offered to a driver with a history that is told: for who designs products."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationError, WithJsonSchema

from csms.api.bodies import Tags
from csms.api.call import Call, Route, connection
from csms.api.offer_answers import Figures, figures
from csms.api.problems import Problem, of_validation
from csms.api.shapes import Answer, Body, ChosenId, Json, Moment, Query, StationId
from csms.api.voucher_products import NewVoucherProduct, spec_of
from csms.base.errors import NotFound, Refused
from csms.db import Connection
from csms.domain import tariff as tariffs
from csms.domain.offer_takes import Product
from csms.domain.offer_words import Known
from csms.domain.offers import Offer, choose, confidence, days_known, judge_all
from csms.flows import histories, offering, vouchers
from csms.flows.histories import Told
from csms.flows.parties import check_zone

HISTORY_MAX = 20_000
PRODUCTS_MAX = 100
WORK_MAX = 1_000_000
"""Sessions of the history times products."""
MINUTES_MAX = 14 * 24 * 60
WH_MAX = 10_000_000
BODY_BYTES_MAX = 4 * 1024 * 1024

NAMED = {"anyOf": [{"type": "string"}, {"$ref": "#/components/schemas/NewVoucherProduct"}]}
Products = Annotated[
    list[Json],
    Field(min_length=1, max_length=PRODUCTS_MAX),
    WithJsonSchema({"type": "array", "minItems": 1, "maxItems": PRODUCTS_MAX, "items": NAMED}),
]


class PastSession(Body):
    """A session: `wh` flowed evenly within `minutes`, at a site with these `tags`."""

    start: Moment
    minutes: Annotated[int | Decimal, Field(ge=0, le=MINUTES_MAX)]
    wh: Annotated[int | Decimal, Field(ge=0, le=WH_MAX)]
    station: StationId | None = None
    site: ChosenId | None = None
    tags: Tags = Field(default_factory=list)


class OfferQuestion(Body):
    """
    An OCPI tariff, products as `POST /voucher-products` takes them (or ids of stored ones), and a driver's history.

    What counts are sessions of the 56 days before `now`, all priced by this tariff; `time_zone` is that of the site.
    Of all products it is taken that they count at these stations, whoever's they are, and of a product for one vehicle
    that all of this is what that vehicle charged.
    """

    tariff: dict[str, Json]
    products: Products
    history: list[PastSession] = Field(max_length=HISTORY_MAX)
    now: Moment
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=60)] = "UTC"


class OfferPreview(Answer):
    """What would be offered, the best first, and `all`: the figures of every product, in the order they were named."""

    currency: str
    sessions: int
    days: int
    offers: list[Figures]
    all: list[Figures]


class Wording(Query):
    """In which language the texts are."""

    language: Literal["en", "ko"] = Field("en", description="of the texts")


async def preview_offers(call: Call) -> OfferPreview:
    """Which products would be offered on a history, and why; nothing is stored."""
    asked: OfferQuestion = call.body
    check_zone(asked.time_zone, "/time_zone")
    tariff = _tariff(asked.tariff)
    async with connection(call.parts) as conn:
        products = [await _product(conn, named, f"/products/{place}") for place, named in enumerate(asked.products)]
    histories.check_currency(tariff, products)
    if len(asked.history) * len(products) > WORK_MAX:
        detail = f"sessions times products are at most {WORK_MAX}: ask for fewer products at once"
        raise Problem(422, detail, [{"pointer": "/history", "detail": detail}])
    told = [Told(s.start, Fraction(s.minutes), Fraction(s.wh), s.station, s.site, tuple(s.tags)) for s in asked.history]
    judged, known = await asyncio.to_thread(_judged, told, tariff, asked, products)
    language = call.query.language
    return OfferPreview(
        currency=tariff.currency,
        sessions=known.sessions,
        days=known.days,
        offers=[_figures(offer, known, language) for offer in choose(judged)],
        all=[_figures(offer, known, language) for offer in _marked(judged)],
    )


def _judged(
    told: list[Told], tariff: tariffs.Tariff, asked: OfferQuestion, products: list[Product]
) -> tuple[list[Offer], Known]:
    """May take seconds, so that it is done beside the event loop."""
    visits = histories.told(told, tariff, asked.time_zone, products, asked.now)
    days = days_known(visits, asked.now)
    known = Known(len(visits), days, confidence(len(visits), days))
    return judge_all(visits, products, asked.now), known


def _marked(judged: list[Offer]) -> list[Offer]:
    """All of them, with the mark of those that are recommended."""
    good = [(o.product, o.expected) for o in choose(judged) if o.recommended]
    return [o._replace(recommended=(o.product, o.expected) in good) for o in judged]


def _figures(offer: Offer, known: Known, language: Literal["en", "ko"]) -> Figures:
    return Figures.model_validate(figures(offer, known, language))


def _tariff(document: dict[str, Json]) -> tariffs.Tariff:
    try:
        return tariffs.parse(document)
    except Refused as error:
        raise Refused(error.reason, f"/tariff{error.field or ''}") from None


async def _product(conn: Connection, named: Json, at: str) -> Product:
    """A product that is stored under this id, or as a body says; Refused or Problem 422 with the place in it."""
    if isinstance(named, str):
        try:
            return offering.product_of(await vouchers.product(conn, named))
        except NotFound:
            raise Refused(f"there is no product {named}", at) from None
    try:
        spec = spec_of(NewVoucherProduct.model_validate(named), None)
    except ValidationError as error:
        problem = of_validation(422, error)
        found = [{**one, "pointer": f"{at}{one['pointer']}"} for one in problem.errors]
        raise Problem(422, problem.detail, found) from None
    except Refused as error:
        raise Refused(error.reason, f"{at}{error.field or ''}") from None
    return offering.product_of_spec(spec)


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/voucher-products/preview", preview_offers, ("tariff:write", "stations:read"),
        "Preview which products would be offered", OfferPreview, OfferQuestion, Wording, changes=False,
        connects=False,
        body_bytes_max=BODY_BYTES_MAX,
    ),
)  # fmt: skip
