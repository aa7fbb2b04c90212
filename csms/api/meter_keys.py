"""The public keys that signed meter values are verified with."""

from __future__ import annotations

import secrets
import time
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from csms.api.call import Call, Route
from csms.api.shapes import Answer, Body, Moment
from csms.base.ids import uuid7
from csms.db import Record
from csms.flows import meter_keys
from csms.flows.admin import CONNECTOR_MAX

KEY_LENGTH_MAX = 4_096
Serial = Annotated[str, StringConstraints(min_length=1, max_length=100)]


class NewMeterKey(Body):
    """A meter's public key, as its maker or the calibration authority tells it."""

    connector: int = Field(0, ge=0, le=CONNECTOR_MAX, description="whose meter it is; 0: of the whole station")
    public_key: Annotated[str, StringConstraints(min_length=1, max_length=KEY_LENGTH_MAX)] = Field(
        description="SubjectPublicKeyInfo as PEM, base64 or hex"
    )
    meter_serial: Serial | None = Field(None, description="for people")


class MeterKey(Answer):
    """A registered key; `public_key` is base64 of its DER form."""

    id: str
    station: str
    connector: int
    public_key: str
    curve: str
    meter_serial: str | None
    created_at: Moment
    created_by: str | None


class MeterKeys(Answer):
    """All keys of a station."""

    items: list[MeterKey]


async def add_meter_key(call: Call) -> tuple[int, MeterKey]:
    """Register a key; it is used from now on, on the running connection too."""
    body: NewMeterKey = call.body
    row, is_new = await meter_keys.add(
        call.conn, call.parts.commands, uuid7(time.time_ns() // 1_000_000, secrets.randbits(80)), call.path["station"],
        body.connector, body.public_key, body.meter_serial, call.parts.clock(), call.client.id,
    )  # fmt: skip
    return 201 if is_new else 200, _key(row)


async def list_meter_keys(call: Call) -> MeterKeys:
    """The keys of a station's meters."""
    return MeterKeys(items=[_key(row) for row in await meter_keys.listed(call.conn, call.path["station"])])


async def remove_meter_key(call: Call) -> None:
    """Take a key back."""
    await meter_keys.remove(call.conn, call.parts.commands, call.path["station"], UUID(call.path["meter_key"]))


def _key(row: Record) -> MeterKey:
    return MeterKey(
        id=str(row["id"]), station=row["station_id"], connector=row["connector"], public_key=row["public_key"],
        curve=row["curve"], meter_serial=row["meter_serial"], created_at=row["created_at"],
        created_by=row["created_by"],
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (
    Route(
        "POST", "/stations/{station}/meter-keys", add_meter_key, ("stations:write",),
        "Register the public key of a meter", MeterKey, NewMeterKey, status=201, or_else=200,
    ),
    Route(
        "GET", "/stations/{station}/meter-keys", list_meter_keys, ("stations:read",), "List a station's meter keys",
        MeterKeys,
    ),
    Route(
        "DELETE", "/stations/{station}/meter-keys/{meter_key}", remove_meter_key, ("stations:write",),
        "Take a meter's key back", status=204,
    ),
)  # fmt: skip
