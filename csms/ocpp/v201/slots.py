"""
The charging of packs in slots (2.1 block S04, done alike on 2.0.1): transactions that nobody pays.

At a battery station a TransactionEvent is a driver's session only if a token was shown for it. Any other tells
how the pack in a slot is, where it says how full it is; all of them are acknowledged.
"""

from __future__ import annotations

from datetime import datetime
from hashlib import sha256
from typing import Any

from csms.domain.pack_events import PackStated
from csms.domain.pack_state import Mode, PackState
from csms.ocpp.calls import CONNECTOR_MAX, Call, Read, Reply
from csms.ocpp.levels import hundredths
from csms.ocpp.repair import decimal, instant
from csms.ocpp.v201.tokens import token_of

SOC = "soc"
ID_DIGITS = 24
EXPONENT_MAX = 30

MODES: dict[str, Mode] = {"Started": "charging", "Updated": "charging", "Ended": "idle"}


def charged(call: Call) -> Read | None:
    """What a TransactionEvent of a battery station says of a pack; None where it is a driver's session, or unclear."""
    payload, slots = call.payload, call.slots
    info = payload.transactionInfo
    ref = info.transactionId if info is not None else None
    mode = MODES.get(payload.eventType)
    if not ref or mode is None or slots is None:
        return None
    if token_of(payload.idToken) is not None:
        slots.session(ref)
        return None
    if slots.is_session(ref):
        return None
    unit = slots.place(ref, _unit(payload.evse))
    soc = _soc(payload.meterValue, call.received_at)
    if unit is None or soc is None:
        return Reply(_acknowledged(call))
    call.answer = lambda outcome: _acknowledged(call)
    return _stated(call, ref, unit, PackState("", soc, mode=mode))


def _stated(call: Call, ref: str, unit: int, pack: PackState) -> PackStated:
    payload = call.payload
    at = instant(payload.timestamp, call.received_at)
    text = f"{ref}|{payload.seqNo}|{at.isoformat()}|{payload.eventType}"
    return PackStated(
        station_id=call.station_id,
        received_at=call.received_at,
        id=f"slot-{sha256(text.encode(errors='replace')).hexdigest()[:ID_DIGITS]}",
        at=at,
        seq=None,
        offline=bool(payload.offline),
        raw=call.raw,
        pack=pack,
        unit=unit,
        source="station",
    )


def _acknowledged(call: Call) -> bytes:
    """Whoever sends an idToken is owed a word on it, even if it says that there is none."""
    return b"{}" if call.payload.idToken is None else b'{"idTokenInfo":{"status":"Accepted"}}'


def _unit(evse: Any) -> int | None:
    return evse.id if evse is not None and evse.id is not None and 0 < evse.id <= CONNECTOR_MAX else None


def _soc(values: Any, received_at: datetime) -> int | None:
    """The newest state of charge among meter values; of one instant the last."""
    levels = [
        (instant(value.timestamp, received_at), level)
        for value in values or ()
        for sample in value.sampledValue or ()
        if (sample.measurand or "").casefold() == SOC and (level := _level(sample)) is not None
    ]
    newest = max((at for at, _ in levels), default=None)
    return next((level for at, level in reversed(levels) if at == newest), None)


def _level(sample: Any) -> int | None:
    measure, value = sample.unitOfMeasure, decimal(sample.value)
    exponent = (measure.multiplier or 0) if measure is not None else 0
    return None if value is None or abs(exponent) > EXPONENT_MAX else hundredths(value.scaleb(exponent))
