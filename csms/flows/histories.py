"""How a driver charged: sessions that were told, or kept, as choosing vouchers sees them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple
from uuid import UUID

from csms.base.errors import Refused
from csms.db import SQL, Connection, Record
from csms.domain import tariff as tariffs
from csms.domain import visits
from csms.domain.offer_takes import Product, Visit
from csms.domain.offers import days_known
from csms.domain.tariff_restrictions import Restrictions
from csms.domain.visits import Place

PIECES_MAX = 100_000
"""Of a history that is told; one is what a price and the conditions of all products hold for."""

SEGMENTS_MAX = 20_000
"""Quarters of an hour that are looked at of one driver, the newest: four stations that never rest."""

SECONDS_PER_MINUTE = 60


class Told(NamedTuple):
    """A session as somebody tells it: `wh` flowed evenly in `minutes`."""

    start: datetime
    minutes: Fraction
    wh: Fraction
    station_id: str | None = None
    site_id: str | None = None
    site_tags: tuple[str, ...] = ()


class History(NamedTuple):
    """Visits by the currency of what is asked for them, and how many days of the driver are known, at most 56."""

    visits: dict[str, list[Visit]]
    since: datetime | None
    sessions: int
    days: int
    currency: str | None
    """Of the last session."""

    def of(self, currency: str) -> list[Visit]:
        """The visits that a voucher in this currency could have paid for."""
        return self.visits.get(currency, [])


def told(
    entries: Sequence[Told], tariff: tariffs.Tariff, zone: str, products: Iterable[Product], now: datetime
) -> list[Visit]:
    """
    The visits of a history that is told, within 56 days before `now`.

    Refused where it comes to more than `PIECES_MAX` pieces: the conditions of products cut long sessions.
    """
    asked, begin = visits.cuts(products), visits.begin(now)
    found: list[Visit] = []
    pieces = 0
    for entry in entries:
        if not begin <= entry.start < now:
            continue
        place = Place(entry.station_id, entry.site_id, None, zone, tariff, entry.site_tags)
        found.append(visits.told(entry.start, entry.minutes * SECONDS_PER_MINUTE, entry.wh, place, asked))
        pieces += len(found[-1].pieces)
        if pieces > PIECES_MAX:
            raise Refused(f"this history comes to more than {PIECES_MAX} pieces of one price", "/history")
    return found


class Kept(NamedTuple):
    """
    What is kept of a driver: sessions in quarters of an hour, and what their stations ask now.

    `of_vehicle`: the sessions of the vehicle for which is chosen; None: nobody asks, and all count as such.
    """

    sessions: Sequence[Record]
    places: Mapping[str, Place]
    of_vehicle: frozenset[UUID] | None = None


async def kept(conn: Connection, driver_id: str, now: datetime, vehicle_key: bytes | None = None) -> Kept:
    """
    Two queries, a third one for the sessions that began with the token of `vehicle_key`, where that is asked.

    A session that began before the 56 days is left out whole.
    """
    sessions = await SQL.list_usage_segments.many(conn, driver_id, visits.begin(now), now, SEGMENTS_MAX)
    rows = await SQL.list_tariffs_of_stations.many(conn, list({row["station_id"] for row in sessions}), now)
    places = {row["id"]: _place(row) for row in rows}
    if vehicle_key is None:
        return Kept(sessions, places)
    ids, stations = [row["session_id"] for row in sessions], [row["station_id"] for row in sessions]
    own = await SQL.sessions_of_token.many(conn, ids, stations, vehicle_key)
    return Kept(sessions, places, frozenset(row["id"] for row in own))


async def priced(of: Kept, products: Iterable[Product], now: datetime) -> History:
    """Its visits, priced by what its stations ask now; what has no tariff now is left out."""
    found = await asyncio.to_thread(_built, of, visits.cuts(products), now)
    since = of.sessions[0]["since"] if of.sessions else None
    known = [visit for _, visit in found]
    days = days_known(known, now, since)
    by_currency: dict[str, list[Visit]] = {}
    for currency, visit in found:
        by_currency.setdefault(currency, []).append(visit)
    last = max(found, key=lambda one: one[1].start, default=None)
    return History(by_currency, since, len(found), days, None if last is None else last[0])


def _built(of: Kept, asked: tuple[Restrictions, ...], now: datetime) -> list[tuple[str, Visit]]:
    """Each session with its currency. Of a long history it takes a while: beside the event loop."""
    found: list[tuple[str, Visit]] = []
    for row in of.sessions:
        place = of.places.get(row["station_id"])
        if place is not None:
            quarters = sorted(zip(row["at_us"], row["wh"], row["seconds"], strict=True))
            by_vehicle = of.of_vehicle is None or row["session_id"] in of.of_vehicle
            found.append((place.tariff.currency, visits.kept(quarters, place, asked, now, by_vehicle=by_vehicle)))
    return found


def _place(row: Record) -> Place:
    tariff, tags = _tariff(row["document"]), tuple(row["site_tags"])
    return Place(row["id"], row["site_id"], row["provider_id"], row["time_zone"], tariff, tags)


@lru_cache(maxsize=512)
def _tariff(document: str) -> tariffs.Tariff:
    return tariffs.parse(json.loads(document, parse_float=Decimal))


def check_currency(tariff: tariffs.Tariff, products: Sequence[Product]) -> None:
    """Refused, with the place, for a product that is not sold in the tariff's currency."""
    for place, product in enumerate(products):
        if product.currency != tariff.currency:
            raise Refused(f"the tariff is in {tariff.currency}", f"/products/{place}/price/currency")
