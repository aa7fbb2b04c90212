"""OCPP 2.0.1 and 2.1 sessions: Authorize and TransactionEvent."""

from __future__ import annotations

from typing import Any

from csms.base.money import decimal_text
from csms.domain.events import (
    ConnectorMetered,
    Event,
    Outcome,
    Reading,
    SessionAuthorized,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    TokenPresented,
)
from csms.domain.session import RESERVED
from csms.ocpp import times
from csms.ocpp.calls import BATTERY_STATION, CONNECTOR_MAX, Call, Read, Reply, Unclear
from csms.ocpp.readings import read_values
from csms.ocpp.repair import instant
from csms.ocpp.signed import signed_values
from csms.ocpp.v201 import slots
from csms.ocpp.v201.tokens import token_of

REF_LENGTH_MAX = 64

ID_TOKEN_STATUS = {
    "accepted": "Accepted",
    "blocked": "Blocked",
    "expired": "Expired",
    "concurrent": "ConcurrentTx",
    "no_credit": "NoCredit",
    "unknown": "Unknown",
}
"""What is not here is Invalid."""


def authorize(call: Call) -> Event | Reply:
    """A driver presents a token. Without one there is nothing that could pay (quirk Q-I07)."""
    token = token_of(call.payload.idToken)
    if token is None:
        return Reply(b'{"idTokenInfo":{"status":"Invalid"}}')
    at, desk = call.received_at, call.desk
    at_slots = call.kind == BATTERY_STATION
    return TokenPresented(call.station_id, at, token, desk.draw.uuid(at), desk.draw.short(), at_slots)


def transaction_event(call: Call) -> Read:
    """A session's start, progress or end. The hot one is progress: readings and nothing else."""
    if call.slots is not None and (read := slots.charged(call)) is not None:
        return read
    payload, at = call.payload, call.received_at
    info = payload.transactionInfo
    kind = payload.eventType
    ref = info.transactionId if info is not None else None
    if not ref or len(ref) > REF_LENGTH_MAX or ref.startswith(RESERVED):
        raise Unclear("a TransactionEvent without a usable transactionId")
    readings = read_values(payload.meterValue, f"{kind}:{payload.seqNo}", at, split_unit=True)
    evse = payload.evse
    connector = evse.id if evse is not None and evse.id is not None and 0 < evse.id <= CONNECTOR_MAX else None
    offline = bool(payload.offline)
    if kind == "Updated":
        token = payload.idToken
        if token is None or payload.triggerReason == "StopAuthorized" or (name := token_of(token)) is None:
            session_id = call.desk.draw.uuid(at)
            signed = signed_values(payload.meterValue, call, connector, is_2x=True)
            return SessionMetered(call.station_id, ref, at, readings, connector, offline, session_id, call.raw, signed)
        return _authorized(call, ref, name, connector, readings)
    if kind == "Started":
        return _started(call, ref, connector, readings)
    if kind == "Ended":
        return _ended(call, ref, connector, readings)
    raise Unclear(f"a TransactionEvent of type {kind}")


def _authorized(call: Call, ref: str, token: str, connector: int | None, readings: tuple[Reading, ...]) -> Event:
    payload, at, draw = call.payload, call.received_at, call.desk.draw
    return SessionAuthorized(
        station_id=call.station_id,
        received_at=at,
        at=instant(payload.timestamp, at),
        connector=connector,
        ref=ref,
        token=token,
        offline=bool(payload.offline),
        session_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
        raw=call.raw,
        readings=readings,
    )


def _started(call: Call, ref: str, connector: int | None, readings: tuple[Reading, ...]) -> Event:
    payload, at, draw = call.payload, call.received_at, call.desk.draw
    registers = [reading.register_wh for reading in readings if reading.register_wh is not None]
    remote = payload.transactionInfo.remoteStartId
    return SessionStarted(
        station_id=call.station_id,
        received_at=at,
        at=instant(payload.timestamp, at),
        connector=connector,
        ref=ref,
        start_key=ref,
        token=token_of(payload.idToken),
        meter_wh=registers[0] if registers else None,
        offline=bool(payload.offline),
        session_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
        raw=call.raw,
        readings=readings,
        command_ref=None if remote is None else str(remote),
        signed=signed_values(payload.meterValue, call, connector, is_2x=True),
    )


def _ended(call: Call, ref: str, connector: int | None, readings: tuple[Reading, ...]) -> Event:
    payload, at, draw = call.payload, call.received_at, call.desk.draw
    registers = [reading for reading in readings if reading.register_wh is not None]
    stopping = payload.triggerReason == "StopAuthorized"
    return SessionEnded(
        station_id=call.station_id,
        received_at=at,
        at=instant(payload.timestamp, at),
        ref=ref,
        meter_wh=max(registers, key=lambda reading: reading.at).register_wh if registers else None,
        reason=payload.transactionInfo.stoppedReason or "Local",
        offline=bool(payload.offline),
        session_id=draw.uuid(at),
        authorization_id=draw.uuid(at),
        raw=call.raw,
        connector=connector,
        token=None if stopping else token_of(payload.idToken),
        readings=readings,
        fee_text=_fee(payload),
        may_open=True,
        signed=signed_values(payload.meterValue, call, connector, is_2x=True),
    )


def metered(call: Call) -> Event | Reply:
    """MeterValues: readings of a connector (their EVSE), outside of any TransactionEvent (quirk Q-M19)."""
    payload, at = call.payload, call.received_at
    connector = payload.evseId
    if connector is None or not 0 < connector <= CONNECTOR_MAX:
        return Reply(b"{}")
    readings = read_values(payload.meterValue, "M", at, split_unit=True)
    signed = signed_values(payload.meterValue, call, connector, is_2x=True)
    if not readings and not signed:
        return Reply(b"{}")
    offline = bool(readings) and times.is_late(readings[-1].at, at, call.desk.offline_age)
    return ConnectorMetered(call.station_id, connector, at, readings, offline, call.raw, signed)


def _fee(payload: Any) -> str | None:
    """The fee a 2.1 station computed itself, unless it says that it could not; 2.0.1 has no field for it."""
    details = getattr(payload, "costDetails", None)
    if details is not None and details.failureToCalculate:
        return None
    total = details.totalCost.total if details is not None and details.totalCost is not None else None
    fee = (total.inclTax if total.inclTax is not None else total.exclTax) if total is not None else None
    return None if fee is None else str(fee)


def id_token_info(outcome: Outcome, call: Call) -> bytes:
    """The answer to Authorize."""
    return b'{"idTokenInfo":{"status":"%b"}}' % ID_TOKEN_STATUS.get(outcome.status, "Invalid").encode()


def transaction_answer(outcome: Outcome, call: Call) -> bytes:
    """
    The answer to TransactionEvent: the token's status where one was given, the cost where it is known.

    A session that may not go on is told so also when the event carried no token: that is how a
    station learns of a verdict that came later.
    """
    if call.answer is not None:  # a pack's, and no session's
        return call.answer(outcome)
    if call.payload is None:  # nobody could read it: a start of which nothing is known must not give energy
        is_pack = call.slots is not None and "idToken" not in call.raw
        return b'{"idTokenInfo":{"status":"Invalid"}}' if '"Started"' in call.raw and not is_pack else b"{}"
    parts = []
    if outcome.status != "accepted" or call.payload.idToken is not None:
        parts.append(f'"idTokenInfo":{{"status":"{ID_TOKEN_STATUS.get(outcome.status, "Invalid")}"}}')
    if outcome.fee_minor is not None and outcome.currency is not None:
        parts.append(f'"totalCost":{decimal_text(outcome.fee_minor, outcome.currency)}')
    return f"{{{','.join(parts)}}}".encode() if parts else b"{}"
