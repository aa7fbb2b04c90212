"""OCPP 2.0.1: our commands as calls; 2.1 has its own for some."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from csms.domain.commands import (
    AnyCall,
    Command,
    DeliverVoucher,
    LimitSlot,
    OpenDoor,
    ReleasePack,
    ReportUnits,
    StartSession,
    StartSwap,
    StopSession,
)
from csms.ocpp.slot_limits import profile_2x
from csms.ocpp.vendor import asset_commands


def write(command: Command, now: datetime) -> tuple[str, dict[str, Any]]:
    """The call that `command` is, sent `now`: action and payload."""
    match command:
        case StartSession():
            token = {"idToken": command.token, "type": "Central"}
            return "RequestStartTransaction", {
                "evseId": command.connector,
                "remoteStartId": command.start_id,
                "idToken": token,
            }
        case StopSession():
            return "RequestStopTransaction", {"transactionId": command.ref}
        case OpenDoor() | ReportUnits() | StartSwap() | ReleasePack() | DeliverVoucher():
            return "DataTransfer", asset_commands.transfer(command, now, as_text=False)
        case LimitSlot():
            return "SetChargingProfile", profile_2x(command)
        case AnyCall():
            return command.action, command.payload
