"""A station of OCPP 2.0.1: TransactionEvent Started, Updated and Ended."""

from __future__ import annotations

import json

from charge_points_sim.devices.device import (
    Asked,
    Change,
    Device,
    Heard,
    Message,
    Payload,
    StartAsked,
    Status,
    StopAsked,
    StopReason,
    TriggerAsked,
    Verdict,
    quoted,
)
from charge_points_sim.session import Session, Token
from charge_points_sim.times import wire

TOKEN_TYPES = {"rfid": "ISO14443", "alias": "Central"}
STATUSES = {
    "available": "Available",
    "preparing": "Occupied",
    "charging": "Occupied",
    "full": "Occupied",
    "finishing": "Occupied",
    "occupied": "Occupied",
    "open": "Occupied",
    "reserved": "Reserved",
    "jammed": "Faulted",
    "unavailable": "Unavailable",
}
ENDS = {
    "local": ("StopAuthorized", "Local"),
    "remote": ("RemoteStop", "Remote"),
    "deauthorized": ("Deauthorized", "DeAuthorized"),
    "departed": ("EVDeparted", "EVDisconnected"),
    "power_loss": ("AbnormalCondition", "PowerLoss"),
}
"""Trigger and stopped reason of an Ended event."""
CHANGES = {
    "energy_limit": "EnergyLimitReached",
    "time_limit": "TimeLimitReached",
    "resumed": "ChargingStateChanged",
    "asked": "Trigger",
}
"""Trigger of an Updated event."""
ANSWERS = {
    "ChangeAvailability": '{"status":"Accepted"}',
    "UnlockConnector": '{"status":"UnknownConnector"}',
    "ClearCache": '{"status":"Accepted"}',
    "DataTransfer": '{"status":"UnknownVendorId"}',
    "GetBaseReport": '{"status":"NotSupported"}',
    "Reset": '{"status":"Rejected"}',
    "CostUpdated": "{}",
}
"""Calls with an answer and no effect; what is neither here nor below is NotSupported."""


def boot(station_id: str, reason: str) -> Message:
    """BootNotification with its reason."""
    serial = quoted(station_id[:25])
    return Message(
        "BootNotification",
        lambda: (
            f'{{"reason":"{reason}","chargingStation":{{"vendorName":"csms","model":"Simulated 2.x",'
            f'"serialNumber":{serial},"firmwareVersion":"1.0"}}}}'
        ),
    )


def status(connector: int, status: Status, at: int) -> Message:
    """StatusNotification: our connector is the wire's EVSE, which has one plug here."""
    return Message(
        "StatusNotification",
        lambda: (
            f'{{"timestamp":"{wire(at)}","connectorStatus":"{STATUSES[status]}","evseId":{connector},"connectorId":1}}'
        ),
    )


def id_token(token: Token) -> str:
    """IdTokenType as JSON text."""
    return f'{{"idToken":{quoted(token.value)},"type":"{TOKEN_TYPES[token.type]}"}}'


def authorize(token: Token) -> Message:
    """Authorize."""
    return Message("Authorize", lambda: f'{{"idToken":{id_token(token)}}}')


def transfer(vendor: str, message: str, content: Payload) -> Message:
    """DataTransfer; on 2.x `data` is an object."""
    text = json.dumps({"vendorId": vendor, "messageId": message, "data": content})
    return Message("DataTransfer", lambda: text)


def _event(
    kind: str, trigger: str, session: Session, at: int, context: str, power_w: int | None, offline: bool, extra: str
) -> Message:
    """
    One TransactionEvent.

    Everything that changes later (number, register) is read now: an event keeps its content however late it is sent.
    """
    more = "" if power_w is None else f',{{"value":{power_w},"measurand":"Power.Active.Import"}}'
    if session.soc is not None:
        percent = session.soc / 100
        more += f',{{"value":{percent},"context":"{context}","measurand":"SoC","unitOfMeasure":{{"unit":"Percent"}}}}'
    time = wire(at)
    text = (
        f'{{"eventType":"{kind}","timestamp":"{time}","triggerReason":"{trigger}","seqNo":{session.next_seq()},'
        f'"offline":{"true" if offline else "false"},"evse":{{"id":{session.connector},"connectorId":1}},'
        f'"meterValue":[{{"timestamp":"{time}","sampledValue":[{{"value":{session.register_wh},'
        f'"context":"{context}","measurand":"Energy.Active.Import.Register","unitOfMeasure":{{"unit":"Wh"}}}}{more}]}}],'
        f'"transactionInfo":{{"transactionId":"{session.ref}"{extra}}}'
    )
    if kind == "Started" and session.token.value:
        text += f',"idToken":{id_token(session.token)}'
    text += "}"
    return Message("TransactionEvent", lambda: text)


def started(session: Session, offline: bool) -> Message:
    """Started, by the driver's token, by a remote start, or (of nobody's session) by what was put in."""
    trigger, extra = "Authorized" if session.token.value else "CablePluggedIn", ',"chargingState":"Charging"'
    if session.start_id is not None:
        trigger, extra = "RemoteStart", f'{extra},"remoteStartId":{session.start_id}'
    return _event("Started", trigger, session, session.started_at, "Transaction.Begin", None, offline, extra)


def metered(session: Session, at: int, power_w: int | None, offline: bool) -> Message:
    """Updated with the register and, if known, the power."""
    extra = f',"chargingState":"{"SuspendedEVSE" if session.suspended else "Charging"}"'
    return _event("Updated", "MeterValuePeriodic", session, at, "Sample.Periodic", power_w, offline, extra)


def changed(session: Session, at: int, change: Change, offline: bool) -> Message:
    """Updated because of what the system said, or because its limit is reached."""
    extra = f',"chargingState":"{"SuspendedEVSE" if session.suspended else "Charging"}"'
    return _event("Updated", CHANGES[change], session, at, "Trigger", None, offline, extra)


def ended(session: Session, at: int, reason: StopReason, offline: bool) -> Message:
    """Ended with the last register."""
    trigger, stopped = ENDS[reason]
    extra = f',"stoppedReason":"{stopped}"'
    return _event("Ended", trigger, session, at, "Transaction.End", None, offline, extra)


def read_authorize(answer: Payload) -> Verdict:
    """The verdict of AuthorizeResponse."""
    return Verdict(answer["idTokenInfo"]["status"] == "Accepted")


def read_started(answer: Payload) -> Verdict:
    """The verdict of a TransactionEventResponse; one that judges no token accepts."""
    info = answer.get("idTokenInfo")
    return Verdict(info is None or info["status"] == "Accepted")


def read_transfer(answer: Payload) -> tuple[bool, Payload]:
    """Whether DataTransferResponse accepts, and its `data` (empty if none)."""
    data = answer.get("data") or {}
    return answer["status"] == "Accepted", json.loads(data) if isinstance(data, str) else data


def read_call(action: str, payload: Payload) -> Asked:
    """What the system asks."""
    match action:
        case "RequestStartTransaction":
            token = Token(payload["idToken"]["idToken"], "alias")
            return StartAsked(payload.get("evseId"), token, int(payload["remoteStartId"]))
        case "RequestStopTransaction":
            return StopAsked(str(payload["transactionId"]))
        case "TriggerMessage":
            return TriggerAsked(payload["requestedMessage"], (payload.get("evse") or {}).get("id"))
        case "SetVariables":
            return Heard(json.dumps({"setVariableResult": [_unknown(v) for v in payload["setVariableData"]]}))
        case "GetVariables":
            return Heard(json.dumps({"getVariableResult": [_unknown(v) for v in payload["getVariableData"]]}))
        case _ if action in ANSWERS:
            return Heard(ANSWERS[action])
        case _:
            return None


def _unknown(setting: Payload) -> Payload:
    """The result for a variable of a component that this station does not have."""
    return {
        "attributeStatus": "UnknownComponent",
        "component": setting["component"],
        "variable": setting["variable"],
    }


DEVICE = Device(
    version="2.0.1",
    subprotocol="ocpp2.0.1",
    boot=boot,
    status=status,
    authorize=authorize,
    transfer=transfer,
    started=started,
    metered=metered,
    ended=ended,
    read_authorize=read_authorize,
    read_started=read_started,
    read_transfer=read_transfer,
    read_call=read_call,
    names_own_sessions=True,
    changed=changed,
)
