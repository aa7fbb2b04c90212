"""Tariffs, and what a session would cost."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction

from pydantic import Field

from csms.api import answers, jsontext
from csms.api.bodies import CdrDimension, NewTariff, PriceQuestion
from csms.api.call import Call
from csms.api.paging import after_id, page
from csms.api.shapes import Page, Paging, Query
from csms.base.errors import NotFound, Refused
from csms.db import SQL
from csms.domain.tariff_own import Used
from csms.flows import tariffs
from csms.flows.parties import check_zone

VERSION_MAX = 2**31 - 1
VOLUME_MAX = 10**9


class VersionQuery(Query):
    """Which version; the newest when nothing is said."""

    version: int | None = Field(None, ge=1, le=VERSION_MAX)


async def add_tariff(call: Call) -> tuple[int, answers.Tariff]:
    """Add a version of a tariff: 201, or 200 when the newest version is the same."""
    new: NewTariff = call.body
    document = new.document()
    hold = None if new.hold is None else new.hold.read("/hold")
    spec = tariffs.TariffSpec(document, jsontext.write(document), new.provider, hold)
    tariff_id, version, is_new = await tariffs.add_tariff(call.conn, spec, call.parts.clock())
    row = await SQL.show_tariff_version.one(call.conn, tariff_id, version)
    return 201 if is_new else 200, answers.tariff(row)


async def list_tariffs(call: Call) -> Page[answers.Tariff]:
    """The newest version of each tariff, by id."""
    query: Paging = call.query
    rows = await SQL.list_tariffs.many(call.conn, after_id(query.cursor), query.limit + 1)
    return page(rows, query.limit, answers.tariff, lambda row: str(row["id"]))


async def show_tariff(call: Call) -> answers.Tariff:
    """One tariff."""
    tariff_id, query = call.path["tariff"], call.query
    if query.version is None:
        row = await SQL.show_newest_tariff.one(call.conn, tariff_id)
    else:
        row = await SQL.show_tariff_version.one(call.conn, tariff_id, query.version)
    if row is None:
        raise NotFound(f"there is no such tariff {tariff_id}")
    return answers.tariff(row)


async def price(call: Call) -> answers.PricePreview:
    """What a session would cost under a tariff that need not be stored."""
    question: PriceQuestion = call.body
    session = question.session
    check_zone(session.time_zone, "/session/time_zone")
    periods = [
        tariffs.Period(
            period.start_date_time,
            [
                tariffs.Dimension(d.type, _volume(d, f"/session/charging_periods/{number}/dimensions/{place}/volume"))
                for place, d in enumerate(period.dimensions)
            ],
        )
        for number, period in enumerate(session.charging_periods)
    ]
    reserved = session.reservation
    told = (
        None
        if reserved is None
        else tariffs.Reserved(reserved.start_date_time, reserved.end_date_time, reserved.outcome == "EXPIRED")
    )
    usage = tariffs.used(session.start_date_time, session.end_date_time, periods, told)
    own = None if session.extra is None else Used(**session.extra.model_dump())
    preview = tariffs.preview(question.tariff, usage, session.time_zone, own)
    return answers.PricePreview.model_validate(preview)


def _volume(dimension: CdrDimension, field: str) -> Fraction:
    """An OCPI volume: a JSON number, or its decimal text."""
    value = dimension.volume
    if isinstance(value, str):
        try:
            value = jsontext.read(value.encode()) if value.isascii() else None
        except jsontext.NotJson:
            value = None
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not 0 <= value <= VOLUME_MAX:
        raise Refused(f"a volume is a number from 0 to {VOLUME_MAX}", field)
    return Fraction(value)
