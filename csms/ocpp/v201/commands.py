"""OCPP 2.0.1 and 2.1: our commands as calls."""

from __future__ import annotations

from typing import Any

from csms.domain.commands import AnyCall, Command, StartSession, StopSession


def write(command: Command) -> tuple[str, dict[str, Any]]:
    """The call that `command` is: action and payload."""
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
        case AnyCall():
            return command.action, command.payload
