"""OCPP 1.6: our commands as calls."""

from __future__ import annotations

from typing import Any

from csms.domain.commands import AnyCall, Command, StartSession, StopSession


def write(command: Command) -> tuple[str, dict[str, Any]]:
    """The call that `command` is: action and payload. Remote starts name their connector (quirk Q-T16)."""
    match command:
        case StartSession():
            return "RemoteStartTransaction", {"connectorId": command.connector, "idTag": command.token}
        case StopSession():
            return "RemoteStopTransaction", {"transactionId": int(command.ref)}
        case AnyCall():
            return command.action, command.payload
