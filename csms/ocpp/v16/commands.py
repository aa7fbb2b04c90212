"""OCPP 1.6: our commands as calls."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from csms.base.errors import WireError
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
from csms.ocpp.slot_limits import profile_16
from csms.ocpp.vendor import asset_commands


def write(command: Command, now: datetime) -> tuple[str, dict[str, Any]]:
    """
    The call that `command` is, sent `now`: action and payload. Remote starts name their connector (quirk Q-T16).

    Raises `WireError` for the stop of a session that began on another version (quirk Q-H02): its id is no number.
    """
    match command:
        case StartSession():
            return "RemoteStartTransaction", {"connectorId": command.connector, "idTag": command.token}
        case StopSession():
            if not (command.ref.isascii() and command.ref.isdecimal()):
                raise WireError("PropertyConstraintViolation", f"{command.ref[:50]} is no transaction id of OCPP 1.6")
            return "RemoteStopTransaction", {"transactionId": int(command.ref)}
        case OpenDoor() | ReportUnits() | StartSwap() | ReleasePack() | DeliverVoucher():
            return "DataTransfer", asset_commands.transfer(command, now, as_text=True)
        case LimitSlot():
            return "SetChargingProfile", profile_16(command)
        case AnyCall():
            return command.action, command.payload
