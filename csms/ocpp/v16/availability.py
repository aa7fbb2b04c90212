"""OCPP 1.6 BootNotification, StatusNotification and the notifications that we only acknowledge."""

from __future__ import annotations

from csms.base.clock import rfc3339
from csms.domain.events import ConnectorReported, Event, Outcome, StationBooted
from csms.ocpp.calls import CONNECTOR_MAX, Call, Reply
from csms.ocpp.repair import instant

STATUS = {
    "Available": "available",
    "Preparing": "preparing",
    "Charging": "charging",
    "SuspendedEVSE": "suspended",
    "SuspendedEV": "suspended",
    "Finishing": "finishing",
    "Reserved": "reserved",
    "Unavailable": "unavailable",
    "Faulted": "faulted",
    "Occupied": "occupied",
}
"""1.6 and 2.x words alike; a word of no specification shows as unavailable."""


def booted(call: Call) -> Event:
    """A station introduces itself; empty names are as good as none (quirk Q-B04)."""
    payload = call.payload
    return StationBooted(
        call.station_id,
        call.received_at,
        vendor=payload.chargePointVendor or "unknown",
        model=payload.chargePointModel or "unknown",
        serial=payload.chargePointSerialNumber or payload.chargeBoxSerialNumber,
        firmware=payload.firmwareVersion,
        reason=None,
    )


def booted_answer(outcome: Outcome, call: Call) -> bytes:
    """Accepted, with our time and the heartbeat interval; the same on every version."""
    now = rfc3339(call.desk.clock())
    return f'{{"status":"Accepted","currentTime":"{now}","interval":{call.desk.heartbeat_s}}}'.encode()


def reported(call: Call) -> Event | Reply:
    """A connector's status, for people to see."""
    payload, at = call.payload, call.received_at
    if not 0 <= payload.connectorId <= CONNECTOR_MAX:
        return Reply(b"{}")
    return ConnectorReported(
        call.station_id,
        at,
        at=instant(payload.timestamp, at),
        connector=payload.connectorId,
        status=STATUS.get(payload.status, "unavailable"),
        error_code=None if payload.errorCode in (None, "NoError") else payload.vendorErrorCode or payload.errorCode,
        info=payload.info,
    )


def acknowledged(call: Call) -> Reply:
    """A notification whose answer has no fields: taken note of in the log, nothing is recorded yet."""
    return Reply(b"{}")
