"""OCPP 1.6 sessions: Authorize, StartTransaction, MeterValues, StopTransaction."""

from __future__ import annotations

from csms.domain.events import Event, Outcome, SessionEnded, SessionMetered, SessionStarted, TokenPresented
from csms.domain.token import canonical
from csms.ocpp import times
from csms.ocpp.calls import CONNECTOR_MAX, Call, Reply, Unclear
from csms.ocpp.readings import read_values, wh
from csms.ocpp.repair import instant

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
    return TokenPresented(call.station_id, at, token, desk.draw.uuid(at), desk.draw.short())


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
    """Readings of a session; those of none (a station's own meter, quirk Q-M09) move no money and are not kept."""
    payload, at = call.payload, call.received_at
    if payload.transactionId is None:
        return Reply(b"{}")
    readings = read_values(payload.meterValue, "M", at, split_unit=False)
    if not readings:
        return Reply(b"{}")
    offline = times.is_late(readings[-1].at, at, call.desk.offline_age)
    ref = str(payload.transactionId)
    return SessionMetered(call.station_id, ref, at, readings, _connector(payload.connectorId), offline, None, call.raw)


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
