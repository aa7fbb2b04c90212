"""
Bills as OCPI charge detail records (2.2.1 and 2.3.0, mod_cdrs, CDR object); credits as credit CDRs.

What we do not keep of a place (its address, the standard of its plug) stands as `#NA`, OCPI's word for
it; `coordinates` are left out, for no place is better than a wrong one. Numbers are exact `Decimal`s.
Token ids are masked, as everywhere.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Literal, get_args
from uuid import UUID

from csms.base.clock import rfc3339
from csms.base.money import decimal_text
from csms.base.units import SECONDS_PER_HOUR, WH_PER_KWH
from csms.db import SQL, Connection, Record
from csms.flows.reports import ROWS_FETCHED, Filter, Snapshot, refuse_foreign

Number = Decimal | int
Version = Literal["2.2.1", "2.3.0"]
VERSIONS: tuple[str, ...] = get_args(Version)

UNKNOWN = "#NA"
"""OCPI 2.2.1 mod_cdrs, CdrLocation: what does not apply."""

HOURS_PLACES = Decimal("0.0001")


@dataclass(frozen=True, slots=True)
class Cdr:
    """One CDR and where its bill stands in the list: when it was issued, and its id."""

    document: dict[str, Any]
    issued_at: datetime
    bill_id: UUID

    @property
    def cursor(self) -> str:
        """The same cursor as the report `bills` has."""
        return json.dumps([self.issued_at.isoformat(), str(self.bill_id)])


async def count(conn: Connection, wanted: Filter, snapshot: Snapshot | None) -> int:
    """How many CDRs there are from the first to the last, for `X-Total-Count`."""
    found: int = await SQL.count_bills.value(conn, *_asked(wanted, snapshot))
    return found


@asynccontextmanager
async def opened(
    conn: Connection, wanted: Filter, snapshot: Snapshot | None, version: Version
) -> AsyncIterator[AsyncIterator[Cdr]]:
    """The CDRs of the report `bills`, through a server-side cursor. Refused for filters that CDRs do not have."""
    refuse_foreign("bills as OCPI", {"from", "to", "provider"}, wanted)
    at, id_ = json.loads(wanted.after) if wanted.after else (None, None)
    after = (None, None) if at is None else (datetime.fromisoformat(at), UUID(id_))
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        statement = await conn.prepare(SQL.list_cdrs.text)
        arguments = (*_asked(wanted, snapshot), *after, wanted.limit)
        yield _cdrs(statement.cursor(*arguments, prefetch=ROWS_FETCHED), version)


def _asked(wanted: Filter, snapshot: Snapshot | None) -> tuple[object, ...]:
    """from, to, provider, era and transactions of the snapshot; a bill of the very instant of `as_of` counts."""
    until = wanted.until
    if snapshot is None:
        return wanted.since, until, wanted.provider, None, None
    end = snapshot.end
    return wanted.since, end if until is None else min(until, end), wanted.provider, snapshot.era, snapshot.transactions


async def _cdrs(rows: AsyncIterator[Record], version: Version) -> AsyncIterator[Cdr]:
    async for row in rows:
        yield Cdr(document(row, version), row["issued_at"], row["id"])


def document(row: Record, version: Version) -> dict[str, Any]:
    """A row of `list_cdrs` as a CDR object."""
    tariff = json.loads(row["tariff"], parse_float=Decimal)
    country, party = tariff.get("country_code", UNKNOWN), tariff.get("party_id", UNKNOWN)
    cdr: dict[str, Any] = {
        "country_code": country,
        "party_id": party,
        "id": str(row["id"]),
        "start_date_time": rfc3339(row["started_at"]),
        "end_date_time": rfc3339(row["ended_at"]),
        "session_id": str(row["session_id"]),
        "cdr_token": {
            "country_code": country,
            "party_id": party,
            "uid": row["token_masked"] or UNKNOWN,
            "type": "OTHER" if row["means"] == "psp" else "RFID",
            "contract_id": (row["driver_id"] or UNKNOWN)[:36],
        },
        "auth_method": "AUTH_REQUEST" if row["means"] == "psp" else "WHITELIST",
        "cdr_location": _location(row),
        "currency": row["currency"],
        "tariffs": [_tariff(tariff, version)],
        "charging_periods": periods(row, tariff.get("id")),
        "total_cost": price(row["total_minor"], row["vat_minor"], row["currency"], version),
        "total_energy": kwh(row["energy_wh"]),
        "total_time": hours(row["seconds"]),
        "last_updated": rfc3339(row["issued_at"]),
    }
    if row["reason"]:
        cdr["remark"] = row["reason"][:255]
    if row["kind"] == "credit":
        cdr |= {"credit": True, "credit_reference_id": str(row["corrects"])}
    return cdr


def price(total_minor: int, vat_minor: int, currency: str, version: Version) -> dict[str, Any]:
    """A Price: with and without VAT in 2.2.1, before taxes and the taxes in 2.3.0. A credit's is negative."""
    before = Decimal(decimal_text(total_minor - vat_minor, currency))
    if version == "2.2.1":
        return {"excl_vat": before, "incl_vat": Decimal(decimal_text(total_minor, currency))}
    return {"before_taxes": before, "taxes": [{"name": "VAT", "amount": Decimal(decimal_text(vat_minor, currency))}]}


def periods(row: Record, tariff_id: str | None) -> list[dict[str, Any]]:
    """The bill's charging periods; where its tariff needed none, one from start to end."""
    if row["periods"] is None:
        return [_period(row["started_at"], row["energy_wh"], row["seconds"], 0, tariff_id)]
    told = json.loads(row["periods"], parse_float=Decimal)
    return [
        _period(
            datetime.fromisoformat(part["start"]),
            Decimal(part.get("energy_wh", 0)),
            Decimal(part.get("charging_s", 0)),
            Decimal(part.get("parking_s", 0)),
            tariff_id,
        )
        for part in told
    ]


def _period(
    start: datetime,
    energy_wh: Number,
    charging_s: Number,
    parking_s: Number,
    tariff_id: str | None,
) -> dict[str, Any]:
    volumes = {"ENERGY": kwh(energy_wh), "TIME": hours(charging_s), "PARKING_TIME": hours(parking_s)}
    told = [{"type": name, "volume": volume} for name, volume in volumes.items() if volume or name == "ENERGY"]
    period = {"start_date_time": rfc3339(start), "dimensions": told}
    return period if tariff_id is None else {**period, "tariff_id": tariff_id}


def kwh(wh: Number) -> Decimal:
    """Wh as kWh, exactly."""
    return Decimal(wh) / WH_PER_KWH


def hours(seconds: Number) -> Decimal:
    """Seconds as hours, to four places (OCPI 2.2.1 types, number)."""
    return (Decimal(seconds) / SECONDS_PER_HOUR).quantize(HOURS_PLACES)


def _location(row: Record) -> dict[str, Any]:
    number = row["connector"]
    return {
        "id": row["site_id"] or row["station_id"],
        "name": row["site_name"] or row["station_id"],
        "address": UNKNOWN,
        "city": UNKNOWN,
        "country": UNKNOWN,
        "evse_uid": row["station_id"] if number is None else f"{row['station_id']}/{number}",
        "evse_id": UNKNOWN,
        "connector_id": UNKNOWN if number is None else str(number),
        "connector_standard": UNKNOWN,
        "connector_format": UNKNOWN,
        "connector_power_type": UNKNOWN,
    }


def _tariff(tariff: Mapping[str, Any], version: Version) -> dict[str, Any]:
    """The tariff document as its version has it: 2.2.1 does not know `tax_included`."""
    return {name: value for name, value in tariff.items() if version != "2.2.1" or name != "tax_included"}
