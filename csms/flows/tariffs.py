"""Tariffs: versions of OCPI documents, and what a use would cost."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from fractions import Fraction

from csms.base.clock import Clock
from csms.base.errors import NotFound, Refused
from csms.base.money import MINOR_MAX, Money, decimal_text, exact_text, scale, to_minor
from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH, seconds_between
from csms.db import SQL, Connection, Pool
from csms.domain import tariff as rules
from csms.domain import tariff_own
from csms.domain.quote import Quote
from csms.domain.quote import name as quote_name
from csms.flows.parties import check_id

HOLDS: Mapping[str, int] = {"IDR": 500_000_00, "JPY": 5_000, "KRW": 50_000, "TWD": 1_000_00, "VND": 1_000_000}
HOLD_UNITS = 50
"""What is set aside when a use starts and nothing else is said: `HOLDS` in minor units, else 50 of the currency."""

YEARS = (1971, 2199)
W_PER_KW = 1_000

Writer = Callable[[Fraction | None], str | None]


@dataclass(frozen=True, slots=True)
class TariffSpec:
    """An OCPI Tariff `document` with what stands beside it: whose it is, and what is set aside when a use starts."""

    document: Mapping[str, object]
    document_json: str
    provider: str | None = None
    hold: Money | None = None


async def add_tariff(conn: Connection, spec: TariffSpec, now: datetime) -> tuple[str, int, bool]:
    """
    Add a version of a tariff; answers its id, the version that stands, and whether it is new.

    The same document again is no new version. Refused, with the place, when the document breaks a
    rule, or when its validity and another version's overlap.
    """
    tariff_id = spec.document.get("id")
    if not isinstance(tariff_id, str):
        raise Refused("an id is missing", "/id")
    check_id(tariff_id)
    tariff = rules.parse(spec.document)
    currency = tariff.currency
    hold_minor = hold_for(spec, currency)
    async with conn.transaction():
        if spec.provider is not None and await SQL.show_provider.one(conn, spec.provider) is None:
            raise Refused(f"there is no provider {spec.provider}; add it first (POST /api/v1/providers)", "/provider")
        await SQL.lock_tariff.run(conn, tariff_id)
        newest = await SQL.show_newest_tariff.one(conn, tariff_id)
        if newest is not None and newest["provider_id"] != spec.provider:
            raise Refused(f"tariff {tariff_id} belongs to {newest['provider_id'] or 'no provider'}", "/provider")
        await _check_validity(conn, tariff_id, tariff, spec.document_json)
        row = await SQL.add_tariff.one(
            conn, tariff_id, spec.provider, currency, spec.document_json, hold_minor, now,
            tariff.valid_from, tariff.valid_until,
        )  # fmt: skip
        assert row is not None
    return tariff_id, row["version"], row["is_new"]


async def _check_validity(conn: Connection, tariff_id: str, tariff: rules.Tariff, document_json: str) -> None:
    """
    Refuse a validity that has an instant in common with another version's: which of them counts?

    A version without dates is in force whenever no newer one is valid, and overlaps with none.
    """
    if tariff.valid_from is None and tariff.valid_until is None:
        return
    other = await SQL.show_overlapping_tariff.one(conn, tariff_id, tariff.valid_from, tariff.valid_until, document_json)
    if other is not None:
        since, until = (other[name] and other[name].isoformat() for name in ("valid_from", "valid_until"))
        raise Refused(
            f"overlapping validity: version {other['version']} of {tariff_id} is valid"
            f"{f' from {since}' if since else ''}{f' until {until}' if until else ''}",
            "/start_date_time" if tariff.valid_from is not None else "/end_date_time",
        )


def hold_for(spec: TariffSpec, currency: str) -> int:
    """
    What is set aside when a use starts, in minor units.

    `hold`, else OCPI's `preauthorize_amount`, else the default of the currency.
    """
    if spec.hold is not None:
        if spec.hold.currency != currency:
            raise Refused(f"the tariff is in {currency}", "/hold/currency")
        minor, field = spec.hold.minor, "/hold/amount"
    elif (asked := spec.document.get("preauthorize_amount")) is not None:
        if isinstance(asked, bool) or not isinstance(asked, int | Decimal):
            raise Refused("a number is needed here", "/preauthorize_amount")
        minor, field = to_minor(Fraction(asked), currency), "/preauthorize_amount"
    else:
        return HOLDS.get(currency, HOLD_UNITS * 10 ** scale(currency))
    if not 0 < minor <= MINOR_MAX:
        raise Refused("what is set aside is above 0", field)
    return minor


async def assign_tariff(conn: Connection, station_id: str, tariff_id: str | None) -> None:
    """Price a station's coming sessions by the newest version of a tariff; None takes its tariff away."""
    async with conn.transaction():
        station = await SQL.lock_station_to_change.one(conn, station_id)
        if station is None:
            raise NotFound(f"there is no station {station_id}")
        if tariff_id is not None:
            newest = await SQL.show_newest_tariff.one(conn, tariff_id)
            if newest is None:
                raise Refused(f"there is no tariff {tariff_id}; add it first (POST /api/v1/tariffs)", "/tariff")
            if newest["provider_id"] not in (None, station["provider_id"]):
                raise Refused(f"tariff {tariff_id} belongs to another provider", "/tariff")
        await SQL.set_station_tariff.run(conn, station_id, tariff_id)


async def quote_of(pool: Pool, clock: Clock, station_id: str) -> Quote | None:
    """What a use that starts at a station now is priced by; None where it has no tariff that is valid."""
    async with pool.acquire() as conn:
        row = await SQL.show_quote.one(conn, station_id, clock())
    if row is None:
        return None
    document = json.loads(row["document"], parse_float=Decimal)
    return Quote(quote_name(row["id"], row["version"]), rules.parse(document), row["time_zone"])


@dataclass(frozen=True, slots=True)
class Dimension:
    """One OCPI CdrDimension: `volume` is kWh of ENERGY, hours of times, kW of powers, A of currents."""

    type: str
    volume: Fraction


@dataclass(frozen=True, slots=True)
class Period:
    """One OCPI ChargingPeriod."""

    start: datetime
    dimensions: Sequence[Dimension]

    def told(self, *names: str) -> Fraction | None:
        """The sum of what is told under the first of these names that is told at all."""
        for name in names:
            volumes = [dimension.volume for dimension in self.dimensions if dimension.type == name]
            if volumes:
                return sum(volumes, start=Fraction(0))
        return None


@dataclass(frozen=True, slots=True)
class Reserved:
    """A reservation, and whether it expired unused."""

    start: datetime
    end: datetime
    expired: bool


def used(start: datetime, end: datetime, periods: Sequence[Period], reserved: Reserved | None = None) -> rules.Usage:
    """
    The usage of OCPI charging periods.

    Hours in decimals are not exact: a period whose time is its length counts by its instants.
    RESERVATION_TIME belongs to the reservation; told without one, it is of one that was used.
    Where no power is told, it is the mean of the period's energy over its time.
    """
    _check_span(start, end)
    charged: list[rules.Period] = []
    reserved_at: list[tuple[datetime, datetime]] = []
    edges = [period.start for period in periods] + [end]
    for number, (period, ends) in enumerate(zip(periods, edges[1:], strict=True)):
        at = f"/session/charging_periods/{number}"
        if not start <= period.start <= ends:
            raise Refused("periods start one after the other, within their session", f"{at}/start_date_time")
        if period.told("RESERVATION_TIME"):
            reserved_at.append((period.start, ends))
        if not period.told("RESERVATION_TIME") or period.told("ENERGY", "TIME", "PARKING_TIME"):
            charged.append(_period(period, ends))
    if reserved is None and reserved_at:
        reserved = Reserved(reserved_at[0][0], reserved_at[-1][1], expired=False)
    reservation = None
    if reserved is not None:
        _check_span(reserved.start, reserved.end)
        seconds = seconds_between(reserved.start, reserved.end)
        reservation = rules.Reservation(
            rules.Period(reserved.start, reserved.end, charging_s=seconds), expired=reserved.expired
        )
    return rules.Usage(
        sum((period.energy_wh for period in charged), start=Fraction(0)),
        sum((period.charging_s + period.parking_s for period in charged), start=Fraction(0)),
        tuple(charged) if charged or reservation is not None else (rules.Period(start, end),),
        reservation,
    )


def _check_span(start: datetime, end: datetime) -> None:
    """A session goes forward, and within the years that calendars of zones are made for."""
    if end < start:
        raise Refused("the end is before the start", "/session/end_date_time")
    if not YEARS[0] <= start.year <= end.year <= YEARS[1]:
        raise Refused(f"a session is in the years {YEARS[0]} to {YEARS[1]}", "/session/start_date_time")


def _period(period: Period, ends: datetime) -> rules.Period:
    """An OCPI ChargingPeriod in Wh, seconds, W and A."""
    length_s = seconds_between(period.start, ends)

    def seconds(name: str) -> int | Fraction:
        told_s = (period.told(name) or Fraction(0)) * SECONDS_PER_HOUR
        return length_s if abs(told_s - length_s) < 1 else told_s

    def scaled(factor: int, *names: str) -> Fraction | None:
        told = period.told(*names)
        return None if told is None else told * factor

    energy_wh = (period.told("ENERGY") or Fraction(0)) * WH_PER_KWH
    charging_s, parking_s = seconds("TIME"), seconds("PARKING_TIME")
    mean_w = energy_wh * SECONDS_PER_HOUR / (charging_s or length_s) if charging_s or length_s else None
    least_w, most_w = (
        scaled(W_PER_KW, "MIN_POWER", "POWER", "MAX_POWER"),
        scaled(W_PER_KW, "MAX_POWER", "POWER", "MIN_POWER"),
    )
    return rules.Period(
        period.start,
        ends,
        energy_wh,
        charging_s,
        parking_s,
        mean_w if least_w is None else least_w,
        mean_w if most_w is None else most_w,
        scaled(1, "MIN_CURRENT", "CURRENT", "MAX_CURRENT"),
        scaled(1, "MAX_CURRENT", "CURRENT", "MIN_CURRENT"),
    )


def preview(
    document: Mapping[str, object], usage: rules.Usage, zone: str, own: tariff_own.Used | None = None
) -> dict[str, object]:
    """
    What `usage` costs under an OCPI tariff, as interface text: decimal strings, null where the tax is unknown.

    `zone` is the site's; `own` is what was used of the dimensions beside OCPI. Totals and dimensions
    are rounded to the currency; the unrounded figures are under `exact`, the lines under `lines`.
    """
    try:
        tariff = rules.parse(document, tax_may_be_unknown=True)
    except Refused as refusal:
        raise Refused(refusal.reason, f"/tariff{refusal.field or ''}") from None
    cost = rules.calculate(usage, tariff, zone)
    if own is not None:
        cost = rules.together(cost, tariff_own.calculate(own, _own(tariff), tariff.currency))
    sums: dict[str, tuple[Fraction | None, Fraction | None]] = {}
    for line in cost.lines:
        excl, incl = sums.get(line.dimension, (Fraction(0), Fraction(0)))
        sums[line.dimension] = (_sum(excl, line.exact_excl), _sum(incl, line.exact_incl))

    def rounded(exact: Fraction | None) -> str | None:
        return None if exact is None else decimal_text(to_minor(exact, cost.currency), cost.currency)

    def unrounded(exact: Fraction | None) -> str | None:
        return None if exact is None else exact_text(exact)

    def written(write: Writer) -> dict[str, object]:
        return {
            "total_excl_vat": write(cost.exact_excl),
            "total_incl_vat": write(cost.exact_incl),
            "per_dimension": {name: {"excl_vat": write(e), "incl_vat": write(i)} for name, (e, i) in sums.items()},
        }

    lines = [rules.as_json(line) for line in cost.lines]
    return {"currency": cost.currency, **written(rounded), "exact": written(unrounded), "lines": lines}


def _own(tariff: rules.Tariff) -> tariff_own.Own:
    if tariff.own is None:
        raise Refused("the tariff prices nothing beside OCPI: it has no extra", "/session/extra")
    return tariff.own


def _sum(left: Fraction | None, right: Fraction | None) -> Fraction | None:
    """One unknown part makes a sum unknown."""
    return None if left is None or right is None else left + right
