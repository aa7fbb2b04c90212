"""Vouchers that are offered: products on sale, chosen by how a driver charged; each offer is stored, at its price."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from uuid import UUID

from csms.base.errors import CsmsError, Refused
from csms.db import SQL, Connection, Record
from csms.domain import voucher_terms
from csms.domain.offer_takes import Product, Visit
from csms.domain.offer_words import Known, share_text
from csms.domain.offers import Offer, blend, choose, confidence, judge_all
from csms.domain.voucher_charge import COUNTED
from csms.flows import histories, voucher_windows
from csms.flows.books import new_id
from csms.flows.histories import History
from csms.flows.vouchers import ProductSpec, terms_text

LISTED_MAX = 20
"""Who wants nothing to be known of how they charge sees so many, the cheapest first."""

OFFER_AGE = timedelta(minutes=15)
"""How long a voucher may be bought at the price that was offered."""


INQUIRIES_MAX = 60
"""So often a driver's vehicles may ask within `OFFER_AGE`: each time all products are tried out."""


Opened = Callable[[], AbstractAsyncContextManager[Connection]]
"""Opens a transaction of the system's own."""


class TooMany(CsmsError):
    """Asked so often that the offers of before are to be looked at first."""


@dataclass(frozen=True, slots=True)
class Question:
    """
    What a vehicle asks: for vouchers in a currency (None: what it pays in), where it stands at a station.

    `message_id`: the station asks for it. `vehicle_key`: of the token that the vehicle shows; None: it shows none, so
    that nothing can be bought that counts for it alone.
    """

    vehicle_id: UUID
    driver_id: str
    currency: str | None
    station_id: str | None
    message_id: str | None = None
    vehicle_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class Inquiry:
    """A question and what was offered; `rows` are the products' versions, in the order of `offers`."""

    id: UUID
    question: Question
    currency: str
    asked_at: datetime
    valid_until: datetime
    known: Known
    tendency: int | None
    """The version of the driver's tendency that was there before the question."""
    ids: tuple[UUID, ...]
    offers: tuple[Offer, ...]
    rows: tuple[Record, ...]


@dataclass(frozen=True, slots=True)
class Judged:
    """What each product on sale would have saved the driver of a question; `rows` are their versions, by product."""

    question: Question
    currency: str
    known: Known
    tendency: int | None
    is_kept: bool
    held: frozenset[str]
    """Products of which the driver has something left to use."""
    offers: list[Offer]
    rows: Mapping[str, Record]


async def inquire(opened: Opened, question: Question, now: datetime) -> Inquiry:
    """
    Choose and store what a vehicle is offered: at least one voucher where any is on sale.

    Prices are the products', whoever asks. Refused, with the place, where the currency or the station is not known;
    TooMany of one driver's.
    """
    judged = await judge(opened, question, now)
    async with opened() as conn:
        return await keep(conn, judged, now)


async def judge(opened: Opened, question: Question, now: datetime) -> Judged:
    """All products on sale that fit, tried out on how the driver charged; meanwhile no connection is held."""
    key = question.vehicle_key
    async with opened() as conn:
        asker = await SQL.show_asker.one(conn, question.driver_id, now, now - OFFER_AGE, key)
        assert asker is not None, "a vehicle has a driver"
        if asker["inquiries"] >= INQUIRIES_MAX:
            raise TooMany("too many questions; the offers of before still stand")
        rows = {row["id"]: row for row in await SQL.list_products_on_sale.many(conn, now)}
        products = [product for product in map(product_of, rows.values()) if for_charging(product)]
        for_it = any(product.terms.conditions.vehicle for product in products)
        kept = await histories.kept(conn, question.driver_id, now, key if for_it else None)
        station = await _station(conn, question.station_id, now)
    products = [product for product in products if key is not None or not product.terms.conditions.vehicle]
    history = await histories.priced(kept, products, now)
    currency = _currency(question, station, history, products)
    products = _there([product for product in products if product.currency == currency], station)
    offers = await asyncio.to_thread(_judged, history.of(currency), products, now, history.since)
    known = Known(history.sessions, history.days, confidence(history.sessions, history.days))
    if asker["keeps_tendency"] and known.confidence == "low":
        region = asker["region"] if asker["version"] is not None else station and station["region"]
        offers, known = await _with_cohort(opened, offers, known, question.driver_id, region, now)
    return Judged(
        question, currency, known, asker["version"], asker["keeps_tendency"], frozenset(asker["held"]), offers, rows
    )


async def keep(conn: Connection, judged: Judged, now: datetime) -> Inquiry:
    """Choose of them those of which there are any left, and store these offers; in the caller's transaction."""
    fresh = [offer for offer in judged.offers if offer.product.id not in judged.held]
    chosen = await _with_room(conn, fresh, judged.rows, now, choose if judged.is_kept else _by_price)
    if not chosen:  # what the driver has still is shown, and not urged a second time
        held = [offer._replace(held=True) for offer in judged.offers]
        chosen = await _with_room(conn, held, judged.rows, now, _by_price)
    inquiry = Inquiry(
        new_id(), judged.question, judged.currency, now, now + OFFER_AGE, judged.known, judged.tendency,
        tuple(new_id() for _ in chosen), chosen, tuple(judged.rows[offer.product.id] for offer in chosen),
    )  # fmt: skip
    await _store(conn, inquiry)
    return inquiry


def _by_price(judged: Iterable[Offer]) -> list[Offer]:
    """Of who opted out nothing is known: nothing is recommended."""
    return sorted(judged, key=lambda offer: (offer.product.price_minor, offer.product.id))[:LISTED_MAX]


async def _with_cohort(
    opened: Opened, judged: list[Offer], known: Known, driver_id: str, region: str | None, now: datetime
) -> tuple[list[Offer], Known]:
    """Of who is hardly known: the figures mixed with those of the middle driver of the cohort, if there is one."""
    async with opened() as conn:
        cohort = await SQL.show_cohort.one(conn, driver_id, region or "any")
        if cohort is None or not judged:
            return judged, known
        kept = await histories.kept(conn, cohort["median_driver"], now)
    products = [offer.product for offer in judged]
    theirs = await histories.priced(kept, products, now)
    of_theirs = await asyncio.to_thread(_judged, theirs.of(products[0].currency), products, now, theirs.since)
    blended = [blend(own, other, known.sessions) for own, other in zip(judged, of_theirs, strict=True)]
    return blended, known._replace(cohort=cohort["drivers"])


async def _with_room(
    conn: Connection,
    judged: list[Offer],
    rows: Mapping[str, Record],
    now: datetime,
    chosen_of: Callable[[Iterable[Offer]], list[Offer]],
) -> tuple[Offer, ...]:
    """The best of those whose hours are not sold out at a site of limited power."""
    while True:
        chosen = chosen_of(judged)
        full = [
            offer.product
            for offer in chosen
            if await voucher_windows.full_site(conn, rows[offer.product.id], now) is not None
        ]
        if not full:
            return tuple(chosen)
        judged = [offer for offer in judged if offer.product not in full]


def _judged(visits: Sequence[Visit], products: Sequence[Product], now: datetime, since: datetime | None) -> list[Offer]:
    """A long history and many products may take a while: beside the event loop, in which stations are served."""
    return judge_all(visits, products, now, since)


async def _station(conn: Connection, station_id: str | None, now: datetime) -> Record | None:
    if station_id is None:
        return None
    row = await SQL.place_of_station.one(conn, station_id, now)
    if row is None:
        raise Refused(f"there is no station {station_id}", "/station")
    return row


def _currency(question: Question, station: Record | None, history: History, products: Sequence[Product]) -> str:
    """The one that is asked for, else that of the station, of the last session, or the only one there is."""
    sold = sorted({product.currency for product in products})
    told = (question.currency, None if station is None else station["currency"], history.currency)
    currency = next((one for one in told if one is not None), sold[0] if len(sold) == 1 else None)
    if currency is None:
        raise Refused(f"say in which currency: {', '.join(sold) or 'nothing is on sale now'}", "/currency")
    return currency


def _there(products: list[Product], station: Record | None) -> list[Product]:
    """Those that count at the station that was named; all of them where none does: some offer is always made."""
    if station is None:
        return products
    found = [
        product
        for product in products
        if product.provider_id in (None, station["provider_id"])
        and product.terms.conditions.at(station["id"], station["site_id"], "charge", station["site_tags"])
    ]
    return found or products


def for_charging(product: Product) -> bool:
    """Whether it could ever pay for charging; others are for batteries and what is lent."""
    counted = product.unit == "val" or COUNTED[product.unit] or product.terms.effect.kind == "fee_waived"
    return bool(counted) and "charge" in product.terms.conditions.uses


async def _store(conn: Connection, inquiry: Inquiry) -> None:
    asked, known, offers = inquiry.question, inquiry.known, inquiry.offers
    await SQL.add_inquiry.run(
        conn, inquiry.id, asked.driver_id, asked.vehicle_id, asked.station_id, inquiry.currency, inquiry.asked_at,
        inquiry.valid_until, inquiry.tendency, known.confidence, known.sessions, known.days, asked.message_id,
    )  # fmt: skip
    await SQL.add_offers.run(
        conn, inquiry.id, inquiry.currency, list(inquiry.ids), [o.product.id for o in offers],
        [o.product.version for o in offers], [o.product.price_minor for o in offers], [o.expected for o in offers],
        [o.worst for o in offers], [Decimal(share_text(o.gain)) for o in offers], [o.recommended for o in offers],
        [o.windows for o in offers],
    )  # fmt: skip


def product_of(row: Record) -> Product:
    """A version of a product that is stored, as choosing sees it."""
    names = ("id", "version", "unit", "amount", "price_minor", "currency", "valid_days", "uses_max", "provider_id")
    terms = voucher_terms.stored(terms_text(row), row["unit"])
    return Product(terms=terms, **{name: row[name] for name in names})


def product_of_spec(spec: ProductSpec) -> Product:
    """A product that somebody thinks of: version 0, of no provider."""
    terms = voucher_terms.read(spec.effect, spec.conditions, spec.unit)
    return Product(
        spec.id, 0, spec.unit, spec.amount, spec.price.minor, spec.price.currency, spec.valid_days, spec.uses_max, terms
    )
