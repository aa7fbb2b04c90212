"""A station of OCPP 1.6 (JSON): StartTransaction, MeterValues and StopTransaction."""

from __future__ import annotations

import json

from charge_points_sim.devices.device import (
    Asked,
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

STATUSES = {
    "available": "Available",
    "preparing": "Preparing",
    "charging": "Charging",
    "full": "SuspendedEVSE",
    "finishing": "Finishing",
    "occupied": "Preparing",
    "open": "Finishing",
    "reserved": "Reserved",
    "jammed": "Faulted",
    "unavailable": "Unavailable",
}
JAMMED = '"errorCode":"ConnectorLockFailure","vendorErrorCode":"DoorJammed"'
REASONS = {
    "local": "Local",
    "remote": "Remote",
    "deauthorized": "DeAuthorized",
    "departed": "EVDisconnected",
    "power_loss": "PowerLoss",
}
ANSWERS = {
    "ChangeConfiguration": '{"status":"NotSupported"}',
    "GetConfiguration": '{"configurationKey":[],"unknownKey":[]}',
    "ChangeAvailability": '{"status":"Accepted"}',
    "UnlockConnector": '{"status":"NotSupported"}',
    "ClearCache": '{"status":"Accepted"}',
    "DataTransfer": '{"status":"UnknownVendorId"}',
    "Reset": '{"status":"Rejected"}',
}
"""Calls with an answer and no effect; what is neither here nor below is NotSupported."""


def boot(station_id: str, reason: str) -> Message:
    """BootNotification; 1.6 knows no reason for it."""
    serial = quoted(station_id[:25])
    return Message(
        "BootNotification",
        lambda: (
            '{"chargePointVendor":"csms","chargePointModel":"Simulated 1.6",'
            f'"chargePointSerialNumber":{serial},"firmwareVersion":"1.0"}}'
        ),
    )


def status(connector: int, status: Status, at: int) -> Message:
    """StatusNotification of one connector."""
    error = JAMMED if status == "jammed" else '"errorCode":"NoError"'
    return Message(
        "StatusNotification",
        lambda: f'{{"connectorId":{connector},{error},"status":"{STATUSES[status]}","timestamp":"{wire(at)}"}}',
    )


def authorize(token: Token) -> Message:
    """Authorize: an idTag has at most 20 characters."""
    return Message("Authorize", lambda: f'{{"idTag":{quoted(token.value)}}}')


def transfer(vendor: str, message: str, content: Payload) -> Message:
    """DataTransfer; on 1.6 `data` is a JSON text inside the JSON."""
    text = json.dumps({"vendorId": vendor, "messageId": message, "data": json.dumps(content)})
    return Message("DataTransfer", lambda: text)


def started(session: Session, offline: bool) -> Message:
    """StartTransaction. 1.6 does not say that it was queued: the system sees it by its age."""
    text = (
        f'{{"connectorId":{session.connector},"idTag":{quoted(session.token.value)},'
        f'"meterStart":{session.start_wh},"timestamp":"{wire(session.started_at)}"}}'
    )
    return Message("StartTransaction", lambda: text)


def metered(session: Session, at: int, power_w: int | None, offline: bool) -> Message:
    """MeterValues with the register and, if known, the power; the transaction id is the one answered to the start."""
    register = session.register_wh
    power = "" if power_w is None else f',{{"value":"{power_w}","measurand":"Power.Active.Import","unit":"W"}}'
    return Message(
        "MeterValues",
        lambda: (
            f'{{"connectorId":{session.connector},"transactionId":{_ref(session)},"meterValue":[{{"timestamp":"{wire(at)}",'
            f'"sampledValue":[{{"value":"{register}","context":"Sample.Periodic",'
            f'"measurand":"Energy.Active.Import.Register","unit":"Wh"}}{power}]}}]}}'
        ),
    )


def ended(session: Session, at: int, reason: StopReason, offline: bool) -> Message:
    """StopTransaction with the last register."""
    register = session.register_wh
    return Message(
        "StopTransaction",
        lambda: (
            f'{{"transactionId":{_ref(session)},"idTag":{quoted(session.token.value)},"meterStop":{register},'
            f'"timestamp":"{wire(at)}","reason":"{REASONS[reason]}"}}'
        ),
    )


def _ref(session: Session) -> int:
    """The id that the start was answered with; -1, as stations in the field write, when none ever came."""
    return session.ref if isinstance(session.ref, int) else -1


def read_authorize(answer: Payload) -> Verdict:
    """The verdict of Authorize.conf."""
    return Verdict(answer["idTagInfo"]["status"] == "Accepted")


def read_started(answer: Payload) -> Verdict:
    """The verdict and the transaction id of StartTransaction.conf."""
    return Verdict(answer["idTagInfo"]["status"] == "Accepted", int(answer["transactionId"]))


def read_transfer(answer: Payload) -> tuple[bool, Payload]:
    """Whether DataTransfer.conf accepts, and its `data` (empty if none)."""
    data = answer.get("data") or "{}"
    return answer["status"] == "Accepted", json.loads(data) if isinstance(data, str) else data


def read_call(action: str, payload: Payload) -> Asked:
    """What the system asks."""
    match action:
        case "RemoteStartTransaction":
            return StartAsked(payload.get("connectorId"), Token(payload["idTag"], "alias"), None)
        case "RemoteStopTransaction":
            return StopAsked(int(payload["transactionId"]))
        case "TriggerMessage":
            return TriggerAsked(payload["requestedMessage"], payload.get("connectorId"))
        case _ if action in ANSWERS:
            return Heard(ANSWERS[action])
        case _:
            return None


DEVICE = Device(
    version="1.6",
    subprotocol="ocpp1.6",
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
    names_own_sessions=False,
)
