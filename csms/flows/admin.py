"""What staff set up: stations and their keys; and what a client of the REST interface may be allowed to do."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from csms.base.errors import Conflict, NotFound, Refused
from csms.base.ids import STATION_ID
from csms.db import SQL, Connection
from csms.domain.credential import KEY_BYTES, KEY_BYTES_MAX, canonical_key, seal

StationKind = Literal["charger", "locker", "battery_station"]
ConnectorKind = Literal["outlet", "portable", "door", "slot"]

CONNECTOR_KINDS: dict[str, tuple[str, ...]] = {
    "charger": ("outlet", "portable"),
    "locker": ("door",),
    "battery_station": ("slot",),
}
"""Which connectors each kind of station has."""

CONNECTOR_MAX = 9999
POWER_W_MAX = 10_000_000
PASSWORD_BYTES_MIN = 6

SCOPES: dict[str, str] = {
    "stations:read": "see stations, sites, providers, tariffs and sessions",
    "stations:write": "add, change and remove stations and sites",
    "stations:command": "start and stop sessions, open doors, rent, swap and reserve for drivers, see ends of commands",
    "drivers:read": "see drivers, their tokens and balances",
    "drivers:write": "add drivers, tokens and means of payment, fund balances, buy vouchers for drivers",
    "tariff:write": "add versions of tariffs and of voucher products, assign tariffs to stations",
    "reports:read": "read sessions, bills, reports and exceptions",
    "settlement:read": "read bills, settlements and the ledger",
    "settlement:run": "run settlements",
    "remittance:approve": "approve remittances that another made",
    "refund:create": "give money back to drivers",
    "driver:self": "a driver's own objects",
    "admin": "everything above except driver:self, and providers with their terms and accounts",
}
ADMIN_SCOPE = "admin"
DRIVER_SCOPE = "driver:self"


@dataclass(frozen=True, slots=True)
class ConnectorSpec:
    """A connector as staff describe it; `max_power_w` bounds what it can plausibly deliver."""

    number: int
    kind: ConnectorKind = "outlet"
    max_power_w: int | None = None


@dataclass(frozen=True, slots=True)
class StationSpec:
    """A station as staff describe it. Without a `password` one is generated (not at security profile 0)."""

    id: str
    provider: str
    kind: StationKind = "charger"
    site: str | None = None
    tariff: str | None = None
    security_profile: int = 1
    password: str | None = None
    strict: bool = False
    assume_protocol: str | None = None
    connectors: Sequence[ConnectorSpec] = ()


@dataclass(frozen=True, slots=True)
class StationChange:
    """What staff may change; `generate_password` makes a new one. `changed` names the fields that were given."""

    changed: frozenset[str]
    site: str | None = None
    security_profile: int = 1
    password: str | None = None
    generate_password: bool = False
    strict: bool = False
    assume_protocol: str | None = None
    connectors: Sequence[ConnectorSpec] = ()


async def add_station(conn: Connection, spec: StationSpec, now: datetime) -> str | None:
    """
    Add a station; answers its password when one was generated: it is shown this once, only its seal is kept.

    Refused when the description breaks a rule, Conflict when the id is taken.
    """
    if not STATION_ID.fullmatch(spec.id):
        raise Refused("a station's id is 1 to 48 letters, digits or any of * _ = : + | @ . -", "/id")
    if not 0 <= spec.security_profile <= 3:
        raise Refused("security profiles are 0 to 3", "/security_profile")
    check_connectors(spec.kind, spec.connectors)
    generated = secrets.token_hex(KEY_BYTES) if spec.password is None and spec.security_profile > 0 else None
    password = spec.password if generated is None else generated
    async with conn.transaction():
        await check_places(conn, spec.provider, spec.site, spec.tariff)
        credential = None if password is None else await seal_password(conn, password)
        added = await SQL.add_station.value(
            conn, spec.id, spec.kind, spec.provider, spec.site, spec.tariff, spec.security_profile, credential,
            spec.strict, spec.assume_protocol, now,
        )  # fmt: skip
        if added is None:
            raise Conflict(f"there is a station {spec.id} already")
        await put_connectors(conn, spec.id, spec.connectors)
    return generated


async def change_station(conn: Connection, station_id: str, change: StationChange) -> str | None:
    """Change a station; answers its new password when one was generated. Its security profile never goes down."""
    async with conn.transaction():
        row = await SQL.lock_station_to_change.one(conn, station_id)
        if row is None:
            raise NotFound(f"there is no station {station_id}")
        given = change.changed
        site = change.site if "site" in given else row["site_id"]
        profile = change.security_profile if "security_profile" in given else row["security_profile"]
        if profile < row["security_profile"]:
            raise Refused("a security profile never goes down", "/security_profile")
        check_connectors(row["kind"], change.connectors)
        await check_places(conn, row["provider_id"], site, None)
        generated = secrets.token_hex(KEY_BYTES) if change.generate_password else None
        password = generated or change.password
        credential = row["credential"] if password is None else await seal_password(conn, password)
        await SQL.change_station.run(
            conn, station_id, site, profile, credential,
            change.strict if "strict" in given else row["strict"],
            change.assume_protocol if "assume_protocol" in given else row["assume_protocol"],
        )  # fmt: skip
        await put_connectors(conn, station_id, change.connectors)
    return generated


async def remove_station(conn: Connection, station_id: str) -> None:
    """Remove a station of which nothing was recorded yet; Conflict when something was."""
    async with conn.transaction():
        if await SQL.lock_station_to_change.one(conn, station_id) is None:
            raise NotFound(f"there is no station {station_id}")
        if await SQL.has_history.value(conn, station_id):
            raise Conflict(f"station {station_id} has sessions or other history, which must keep their station")
        await SQL.remove_connectors.run(conn, station_id)
        await SQL.remove_station.run(conn, station_id)


def check_connectors(kind: str, connectors: Sequence[ConnectorSpec]) -> None:
    """Refused when numbers repeat or are out of range, or a kind does not belong on such a station."""
    seen: set[int] = set()
    for place, connector in enumerate(connectors):
        field = f"/connectors/{place}"
        if not 1 <= connector.number <= CONNECTOR_MAX:
            raise Refused(f"connectors are numbered 1 to {CONNECTOR_MAX}", f"{field}/number")
        if connector.number in seen:
            raise Refused(f"connector {connector.number} is there twice", f"{field}/number")
        if connector.kind not in CONNECTOR_KINDS[kind]:
            raise Refused(f"a {kind} has connectors of kind {' or '.join(CONNECTOR_KINDS[kind])}", f"{field}/kind")
        if connector.max_power_w is not None and not 0 < connector.max_power_w <= POWER_W_MAX:
            raise Refused(f"a connector's power is 1 to {POWER_W_MAX} W", f"{field}/max_power_w")
        seen.add(connector.number)


async def check_places(conn: Connection, provider: str, site: str | None, tariff: str | None) -> None:
    """Refused when provider, site or tariff do not exist or do not belong together."""
    if await SQL.show_provider.one(conn, provider) is None:
        raise Refused(f"there is no provider {provider}; add it first (POST /api/v1/providers)", "/provider")
    if site is not None:
        row = await SQL.show_site.one(conn, site)
        if row is None:
            raise Refused(f"there is no site {site}; add it first (POST /api/v1/sites)", "/site")
        if row["provider_id"] != provider:
            raise Refused(f"site {site} belongs to another provider", "/site")
    if tariff is not None:
        row = await SQL.show_newest_tariff.one(conn, tariff)
        if row is None:
            raise Refused(f"there is no tariff {tariff}; add it first (POST /api/v1/tariffs)", "/tariff")
        if row["provider_id"] not in (None, provider):
            raise Refused(f"tariff {tariff} belongs to another provider", "/tariff")


async def put_connectors(conn: Connection, station_id: str, connectors: Sequence[ConnectorSpec]) -> None:
    """Add connectors, or change kind and power of those there are."""
    await SQL.put_connectors.run(
        conn,
        station_id,
        [c.number for c in connectors],
        [c.kind for c in connectors],
        [c.max_power_w for c in connectors],
    )


async def seal_password(conn: Connection, password: str) -> bytes:
    """What is kept of a station's password (quirk Q-H06)."""
    key = password.encode()
    if not PASSWORD_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
        raise Refused(
            f"a password has {PASSWORD_BYTES_MIN} to {KEY_BYTES_MAX} bytes; 16 to 40 fit all stations", "/password"
        )
    return seal(await SQL.read_credential_pepper.value(conn), canonical_key(key))
