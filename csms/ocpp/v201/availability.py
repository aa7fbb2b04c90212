"""OCPP 2.0.1 and 2.1 BootNotification and StatusNotification."""

from __future__ import annotations

from csms.domain.events import ConnectorReported, Event, StationBooted
from csms.ocpp.calls import CONNECTOR_MAX, Call, Reply, Together
from csms.ocpp.repair import instant
from csms.ocpp.v16.availability import STATUS, with_slot


def booted(call: Call) -> Event:
    """A station introduces itself."""
    station = call.payload.chargingStation
    return StationBooted(
        call.station_id,
        call.received_at,
        vendor=station.vendorName or "unknown",
        model=station.model or "unknown",
        serial=station.serialNumber,
        firmware=station.firmwareVersion,
        reason=call.payload.reason,
    )


def reported(call: Call) -> ConnectorReported | Reply | Together:
    """The status of a connector (their EVSE), for people to see."""
    payload, at = call.payload, call.received_at
    if not 0 <= payload.evseId <= CONNECTOR_MAX:
        return Reply(b"{}")
    report = ConnectorReported(
        call.station_id,
        at,
        at=instant(payload.timestamp, at),
        connector=payload.evseId,
        status=STATUS.get(payload.connectorStatus, "unavailable"),
        error_code=None,
        info=None,
    )
    return with_slot(call, report)
