"""Which action of which version is read and answered by what: the table to look at first."""

from __future__ import annotations

from csms.base.errors import WireError
from csms.ocpp import schemas
from csms.ocpp.calls import Route, nothing
from csms.ocpp.schemas import Version
from csms.ocpp.v16 import availability as availability_16
from csms.ocpp.v16 import charging as charging_16
from csms.ocpp.v21 import charging as charging_21
from csms.ocpp.v21 import swaps
from csms.ocpp.v201 import availability, charging, doors, inventory
from csms.ocpp.vendor import transfers

NOTED = Route(availability_16.acknowledged, nothing)
"""Notifications whose answer has no fields. They are acknowledged; nothing of them is recorded yet."""

V16: dict[str, Route] = {
    "BootNotification": Route(availability_16.booted, availability_16.booted_answer),
    "StatusNotification": Route(availability_16.reported, nothing),
    "Authorize": Route(charging_16.authorize, charging_16.id_tag_info),
    "StartTransaction": Route(charging_16.started, charging_16.started_answer, money=True),
    "MeterValues": Route(charging_16.metered, nothing, money=True),
    "StopTransaction": Route(charging_16.ended, charging_16.ended_answer, money=True),
    "DataTransfer": Route(transfers.transferred, transfers.transferred_answer),
    "DiagnosticsStatusNotification": NOTED,
    "FirmwareStatusNotification": NOTED,
    "LogStatusNotification": NOTED,
    "SecurityEventNotification": NOTED,
    "SignedFirmwareStatusNotification": NOTED,
}

V201: dict[str, Route] = {
    "BootNotification": Route(availability.booted, availability_16.booted_answer),
    "StatusNotification": Route(availability.reported, nothing),
    "Authorize": Route(charging.authorize, charging.id_token_info),
    "TransactionEvent": Route(charging.transaction_event, charging.transaction_answer, money=True),
    "DataTransfer": Route(transfers.transferred, transfers.transferred_answer),
    "MeterValues": Route(charging.metered, nothing, money=True),
    "ClearedChargingLimit": NOTED,
    "FirmwareStatusNotification": NOTED,
    "LogStatusNotification": NOTED,
    "NotifyChargingLimit": NOTED,
    "NotifyCustomerInformation": NOTED,
    "NotifyDisplayMessages": NOTED,
    "NotifyEvent": Route(doors.notified, nothing),
    "NotifyMonitoringReport": NOTED,
    "NotifyReport": Route(inventory.reported, nothing),
    "PublishFirmwareStatusNotification": NOTED,
    "ReportChargingProfiles": NOTED,
    "ReservationStatusUpdate": NOTED,
    "SecurityEventNotification": NOTED,
}

V21: dict[str, Route] = V201 | {
    "Authorize": Route(charging.authorize, charging_21.id_token_info),
    "TransactionEvent": Route(charging.transaction_event, charging_21.transaction_answer, money=True),
    "BatterySwap": Route(swaps.packs_moved, nothing, money=True, hides_tokens=True),
    "NotifyDERAlarm": NOTED,
    "NotifyDERStartStop": NOTED,
    "NotifyPriorityCharging": NOTED,
    "NotifyWebPaymentStarted": NOTED,
    "ReportDERControl": NOTED,
}

ROUTES: dict[Version, dict[str, Route]] = {"ocpp1.6": V16, "ocpp2.0.1": V201, "ocpp2.1": V21}

_FOLDED: dict[Version, dict[str, str]] = {
    version: {action.lower(): action for action in (*table, "Heartbeat")} for version, table in ROUTES.items()
}


def spelled(version: Version, action: str) -> str:
    """`action` as the version spells it: some stations write `HeartBeat` (quirk Q-R06)."""
    return _FOLDED[version].get(action.lower(), action)


def refusal(version: Version, action: str) -> WireError:
    """Why there is no route: nobody knows the action, or the version does and we do not serve it (quirk Q-R07)."""
    if action in schemas.actions(version):
        return WireError("NotSupported", f"{action} is not served by this system")
    return WireError("NotImplemented", f"{version} has no call {action[:50]}")
