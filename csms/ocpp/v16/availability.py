"""OCPP 1.6 BootNotification, StatusNotification and the notifications that we only acknowledge."""

from __future__ import annotations

from csms.base.clock import rfc3339
from csms.domain.events import ConnectorReported, Event, Outcome, StationBooted
from csms.domain.pack_events import SlotShown
from csms.ocpp.calls import BATTERY_STATION, CONNECTOR_MAX, Call, Reply, Together
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


HOLDS_PACK = ("occupied", "preparing", "charging", "suspended")
"""Words for a slot with a pack in it; those of neither list say nothing of it."""


def with_slot(call: Call, report: ConnectorReported) -> ConnectorReported | Together:
    """The status of a connector; that of a battery station's slot tells whether it is empty, too (1.6 and 2.x)."""
    empty = report.status == "available"
    if call.kind != BATTERY_STATION or report.connector < 1 or not (empty or report.status in HOLDS_PACK):
        return report
    return Together((report, SlotShown(call.station_id, report.received_at, report.at, report.connector, empty)))


def reported(call: Call) -> ConnectorReported | Reply | Together:
    """A connector's status, for people to see."""
    payload, at = call.payload, call.received_at
    if not 0 <= payload.connectorId <= CONNECTOR_MAX:
        return Reply(b"{}")
    report = ConnectorReported(
        call.station_id,
        at,
        at=instant(payload.timestamp, at),
        connector=payload.connectorId,
        status=STATUS.get(payload.status, "unavailable"),
        error_code=None if payload.errorCode in (None, "NoError") else payload.vendorErrorCode or payload.errorCode,
        info=payload.info,
    )
    return with_slot(call, report)


def acknowledged(call: Call) -> Reply:
    """A notification whose answer has no fields: taken note of in the log, nothing is recorded yet."""
    return Reply(b"{}")
