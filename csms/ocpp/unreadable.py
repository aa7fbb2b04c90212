"""Reports that nobody can read: kept with their text where they move money, else refused with their schema's code."""

from __future__ import annotations

import msgspec
import structlog

from csms.base.errors import WireError
from csms.domain.events import Unreadable
from csms.ocpp import repair, schemas
from csms.ocpp.calls import Call, Desk, OtherVersion, Route, kept
from csms.ocpp.masking import without_tokens
from csms.ocpp.schemas import Version

UNREADABLE_KEPT_MAX = 1_000
"""How many frames and bodies of a connection that nobody can read are kept: a broken station repeats them for ever."""

WHY_LENGTH_MAX = 500

log = structlog.get_logger("csms.ocpp")


def check(version: Version, action: str, payload: bytes | msgspec.Raw, *, strict: bool) -> None:
    """Raises the schema's first fault; strict stations are held to unknown fields as well."""
    try:
        value = msgspec.json.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise WireError(schemas.FORMATION[version], str(error)[:255]) from error
    fault = schemas.fault(version, action, value, closed=False)
    if fault is None and strict:
        fault = schemas.fault(version, action, value)
    if fault is not None:
        raise fault


def unreadable(route: Route, call: Call, payload: bytes | msgspec.Raw, why: str, *, strict: bool) -> Unreadable:
    """Keeps a money report that nobody can read. Raises `WireError` for any other, with the code its schema gives."""
    if repair.is_other_version(call.version, call.action, payload):
        raise OtherVersion(f"a BootNotification of another version than {call.version}")
    if not route.money:
        check(call.version, call.action, payload, strict=strict)
        raise WireError(schemas.FORMATION[call.version], f"{call.action}: {why}"[:255])
    call.payload = None
    call.mark = "unreadable"
    log.info("report unreadable", station=call.station_id, action=call.action, why=why)
    at, draw = call.received_at, call.desk.draw
    answer = str(draw.number()) if call.action == "StartTransaction" else None
    raw = _raw(route, call.raw)
    return Unreadable(call.station_id, at, call.action, why[:WHY_LENGTH_MAX], raw, draw.uuid(at), answer)


def broken(desk: Desk, station_id: str, route: Route, action: str, fault: WireError, text: str) -> Unreadable:
    """A money report that is not even JSON."""
    at = desk.clock()
    return Unreadable(station_id, at, action, fault.description, _raw(route, text), desk.draw.uuid(at))


def _raw(route: Route, text: str) -> str:
    return kept(without_tokens(text) if route.hides_tokens else text)
