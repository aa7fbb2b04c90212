"""OCPP 1.6 sessions: Authorize, StartTransaction, MeterValues, StopTransaction."""

from __future__ import annotations

from csms.domain.events import (
    ConnectorMetered,
    Event,
    Outcome,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    TokenPresented,
)
from csms.domain.token import canonical
from csms.ocpp import times
from csms.ocpp.calls import BATTERY_STATION, CONNECTOR_MAX, Call, Reply, Unclear
from csms.ocpp.readings import read_values, wh
from csms.ocpp.repair import instant
from csms.ocpp.signed import signed_values

ID_TAG_STATUS = {
    "accepted": "Accepted",
    "blocked": "Blocked",
    "expired": "Expired",
    "concurrent": "ConcurrentTx",
    "no_credit": "Blocked",
}
"""1.6 has no word for missing credit; what is not here is Invalid."""

REASONS = {
    "DeAuthorized",
    "EmergencyStop",
    "EVDisconnected",
    "HardReset",
    "Local",
    "Other",
    "PowerLoss",
    "Reboot",
    "Remote",
    "SoftReset",
    "UnlockCommand",
}


def authorize(call: Call) -> Event | Reply:
    """A driver holds a tag to the station."""
    token = canonical(call.payload.idTag or "")
    if not token:
        return Reply(b'{"idTagInfo":{"status":"Invalid"}}')
    at, desk = call.received_at, call.desk
    at_slots = call.kind == BATTERY_STATION
    return TokenPresented(call.station_id, at, token, desk.draw.uuid(at), desk.draw.short(), at_slots)


def started(call: Call) -> Event:
    """
    A session began at a connector.

    The station waits for us to name it: `ref` is drawn here, and used unless a retry finds the
    session that it made (`start_key`: connector, tag, time and meter, quirk Q-T01).
    """
    payload, at, draw = call.payload, call.received_at, call.desk.draw
    connector, reported = payload.connectorId, payload.timestamp
    if connector is None or not 0 < connector <= CONNECTOR_MAX:
        raise Unclear(f"a session at connector {connector}")
    meter_wh = wh(payload.meterStart)
    token = canonical(payload.idTag or "")
    reported_at = instant(reported, at)
    reported_ms = int(reported_at.timestamp() * 1000) if reported is not None else None
    return SessionStarted(
        station_id=call.station_id,
        received_at=at,
        at=reported_at,
        connector=connector,
        ref=str(draw.number()),
        start_key=f"{connector}|{token}|{reported_ms}|{meter_wh}",
        token=token or None,
        meter_wh=meter_wh,
        offline=times.is_late(reported_at, at, call.desk.offline_age),
        session_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
        raw=call.raw,
    )


def metered(call: Call) -> Event | Reply:
    """
    Readings of a session; those that name none are their connector's (quirk Q-M09).

    -1 and 0 are no ids but what stations write that were never told one (quirks Q-T05, Q-T06).
    """
    payload, at = call.payload, call.received_at
    readings = read_values(payload.meterValue, "M", at, split_unit=False)
    connector, ref = _connector(payload.connectorId), payload.transactionId
    signed = signed_values(payload.meterValue, call, connector, is_2x=False)
    if not readings and not signed:
        return Reply(b"{}")
    offline = bool(readings) and times.is_late(readings[-1].at, at, call.desk.offline_age)
    if ref is None or ref <= 0:
        if not connector:
            return Reply(b"{}")
        return ConnectorMetered(call.station_id, connector, at, readings, offline, call.raw, signed)
    return SessionMetered(call.station_id, str(ref), at, readings, connector, offline, None, call.raw, signed)


def ended(call: Call) -> Event:
    """A session ended; whatever the tag says (quirks Q-I03 to Q-I05), the transaction id names it."""
    payload, at, draw = call.payload, call.received_at, call.desk.draw
    if payload.transactionId is None:
        raise Unclear("an end without transactionId")
    reported_at = instant(payload.timestamp, at)
    return SessionEnded(
        station_id=call.station_id,
        received_at=at,
        at=reported_at,
        ref=str(payload.transactionId),
        meter_wh=wh(payload.meterStop),
        reason=_reason(payload.reason),
        offline=times.is_late(reported_at, at, call.desk.offline_age),
        session_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
        raw=call.raw,
        token=canonical(payload.idTag or "") or None,
        readings=read_values(payload.transactionData, "E", at, split_unit=False),
        signed=signed_values(payload.transactionData, call, None, is_2x=False),
    )


def _reason(reason: str | None) -> str:
    """Local when the station gives none (as the specification says), Other when it invents one (quirk Q-T12)."""
    if reason is None:
        return "Local"
    return reason if reason in REASONS else "Other"


def _connector(number: int | None) -> int | None:
    return number if number is not None and 0 <= number <= CONNECTOR_MAX else None


def id_tag_info(outcome: Outcome, call: Call) -> bytes:
    """The answer to Authorize."""
    return b'{"idTagInfo":{"status":"%b"}}' % ID_TAG_STATUS.get(outcome.status, "Invalid").encode()


def started_answer(outcome: Outcome, call: Call) -> bytes:
    """The answer to StartTransaction: a positive id even when refusing, so that energy can be told (quirk Q-T04)."""
    status = ID_TAG_STATUS.get(outcome.status, "Invalid")
    ref = int(outcome.ref) if outcome.ref is not None else call.desk.draw.number()
    return b'{"transactionId":%d,"idTagInfo":{"status":"%b"}}' % (ref, status.encode())


def ended_answer(outcome: Outcome, call: Call) -> bytes:
    """The answer to StopTransaction: nothing of the tag unless one was given, and then no reason to object."""
    tagged = call.payload is not None and call.payload.idTag
    return b'{"idTagInfo":{"status":"Accepted"}}' if tagged else b"{}"
