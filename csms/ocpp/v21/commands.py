"""OCPP 2.1: our commands as calls; what is not here is as in 2.0.1."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from csms.domain.commands import Command, ReportUnits, StartSwap
from csms.ocpp.v201 import commands as commands_201
from csms.ocpp.vendor import asset_commands

REQUEST_ID_MAX = 2**31 - 1
"""OCPP's integers have 31 bits; `Battery.Return` must be able to name a swap by the number its station chose."""


def write(command: Command, now: datetime) -> tuple[str, dict[str, Any]]:
    """The call that `command` is, sent `now`: action and payload."""
    if isinstance(command, StartSwap):
        token = {"idToken": command.token, "type": "Central"}
        return "RequestBatterySwap", {"requestId": command.rid, "idToken": token}
    return commands_201.write(command, now)


def otherwise(command: Command, now: datetime) -> tuple[str, dict[str, Any]] | None:
    """
    What a battery station is told that does not know the call of `write`; None where there is no other way.

    For what it knows no vendor's word of, OCPP's own, and the reverse.
    """
    match command:
        case ReportUnits():
            request_id = command.request_id.int & REQUEST_ID_MAX
            return "GetBaseReport", {"requestId": request_id, "reportBase": "FullInventory"}
        case StartSwap():
            return "DataTransfer", asset_commands.transfer(command, now, as_text=False)
        case _:
            return None
