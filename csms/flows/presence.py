"""Presence at cabinets: what each takes as proof, and that a proof counts once."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from csms.base.errors import Conflict, CsmsError, NotFound, Refused
from csms.db import SQL, Connection, Record
from csms.domain.presence import SECRET_BYTES, Method, NotProven, Proof, Setting, prove

RADIUS_M, ACCURACY_M_MAX = 50, 50
"""Where staff say nothing: so near a cabinet, and known so well."""


class NotPresent(CsmsError):
    """Presence was not proven; says why. Nothing was sent anywhere."""


@dataclass(frozen=True, slots=True)
class Cabinet:
    """A station with doors or slots, the epoch of its connection, and what it takes as proof of presence."""

    id: str
    epoch: int
    setting: Setting


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """What staff say that a cabinet takes, and where it stands; `generate_secret` replaces the secret it has."""

    methods: frozenset[Method]
    latitude: float | None = None
    longitude: float | None = None
    radius_m: int = RADIUS_M
    accuracy_m_max: int = ACCURACY_M_MAX
    generate_secret: bool = False


@dataclass(frozen=True, slots=True)
class Use:
    """What a proof is shown for: by whom, at which cabinet, for which request; a repeat of it is no second use."""

    cabinet: Cabinet
    driver_id: str
    request_id: UUID


async def cabinet_to_use(conn: Connection, station_id: str, connector: int | None = None) -> Cabinet:
    """The cabinet, and that it has this door; NotFound for any other station."""
    row = await SQL.show_presence.one(conn, station_id, connector)
    if row is None or row["kind"] == "charger":
        raise NotFound(f"there is no cabinet {station_id}")
    if connector is not None and not row["has_connector"]:
        raise NotFound(no_door(station_id, connector, row["kind"]))
    setting = Setting(frozenset()) if row["methods"] is None else _setting(row)
    return Cabinet(row["id"], row["epoch"], setting)


def no_door(station_id: str, connector: int, kind: str) -> str:
    """That a station lacks this door, in the words for what it is."""
    if kind == "battery_station":
        return f"station {station_id} has no slot {connector}"
    return f"cabinet {station_id} has no door {connector}"


def _setting(row: Record) -> Setting:
    names = ("latitude", "longitude", "radius_m", "accuracy_m_max")
    return Setting(frozenset(row["methods"]), row["secret"], **{name: row[name] for name in names})


async def put_setting(conn: Connection, station_id: str, spec: SettingSpec, now: datetime) -> bytes | None:
    """
    Set what a cabinet takes; answers its new secret, to be shown this once.

    Refused when a method lacks what it needs; Conflict when the station is no cabinet.
    """
    row = await SQL.show_presence.one(conn, station_id, None)
    if row is None:
        raise NotFound(f"there is no station {station_id}")
    if row["kind"] == "charger":
        raise Conflict(f"station {station_id} has no doors: it is no cabinet")
    if (spec.latitude is None) != (spec.longitude is None):
        raise Refused("a place has a latitude and a longitude", "/longitude")
    if "geofence" in spec.methods and spec.latitude is None:
        raise Refused("a geofence needs the place of its cabinet", "/latitude")
    if spec.methods & {"totp", "ble"} and row["secret"] is None and not spec.generate_secret:
        raise Refused("codes and nonces need a secret: send generate_secret", "/generate_secret")
    secret = secrets.token_bytes(SECRET_BYTES) if spec.generate_secret else None
    await SQL.put_presence.run(
        conn, station_id, sorted(spec.methods), secret, spec.latitude, spec.longitude, spec.radius_m,
        spec.accuracy_m_max, now,
    )  # fmt: skip
    return secret


async def use_proof(conn: Connection, use: Use, proof: Proof, now: datetime) -> str:
    """Judge a proof and use it up; answers how presence was proven. NotPresent when it was not."""
    found = prove(proof, use.cabinet.id, use.driver_id, use.cabinet.setting, now)
    if isinstance(found, NotProven):
        raise NotPresent(found.reason)
    arguments = (found.once, use.cabinet.id, use.driver_id or None, found.method, use.request_id, now)
    if await SQL.use_proof.value(conn, *arguments) is None:
        raise NotPresent("this proof was used already")
    return found.method
