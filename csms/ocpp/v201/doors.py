"""
Doors in OCPP's own words: NotifyEvent of 2.0.1 and 2.1 as the movement of a door.

2.1 has the variable SlotStatus of a Connector (part 2, block S), 2.0.1 cabinets use DoorState of a LockerUnit;
the EVSE is the door. They name no grant and no item, so Door.Status tells more; who sends both is understood once.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

from csms.domain.asset_events import DoorMoved, DoorState
from csms.ocpp.calls import CONNECTOR_MAX, Call, Reply, Together
from csms.ocpp.repair import instant

VARIABLES = frozenset({"slotstatus", "doorstate"})
WORDS: Mapping[str, tuple[DoorState, bool | None]] = {
    "open": ("open", None),
    "ajar": ("ajar", None),
    "closed": ("closed", None),
    "locked": ("closed", None),
    "available": ("closed", False),
    "empty": ("closed", False),
    "occupied": ("closed", True),
    "faulted": ("jammed", None),
    "jammed": ("jammed", None),
    "forced": ("forced", None),
}
"""A value as the state of the door, and whether something stands behind it; compared without regard to case."""

ID_DIGITS = 24


def notified(call: Call) -> Reply | Together:
    """What of a NotifyEvent is about doors; everything else of it is acknowledged."""
    moved = [door for event in call.payload.eventData or () if (door := _moved(call, event)) is not None]
    return Together(tuple(moved)) if moved else Reply(b"{}")


def _moved(call: Call, event: Any) -> DoorMoved | None:
    """One entry; its own id is what it repeats when it is sent again."""
    component, variable = event.component, event.variable
    if component is None or variable is None or event.actualValue is None:
        return None
    evse = component.evse
    known = WORDS.get(event.actualValue.strip().casefold())
    if known is None or evse is None or evse.id is None or (variable.name or "").casefold() not in VARIABLES:
        return None
    if not 1 <= evse.id <= CONNECTOR_MAX:
        return None
    at = instant(event.timestamp, call.received_at)
    state, has = known
    text = f"{event.eventId}|{at.isoformat()}|{evse.id}|{variable.name}|{event.actualValue}"
    return DoorMoved(
        station_id=call.station_id,
        received_at=call.received_at,
        id=f"event-{sha256(text.encode(errors='replace')).hexdigest()[:ID_DIGITS]}",
        at=at,
        seq=None,
        offline=False,
        raw=call.raw,
        unit=evse.id,
        door=state,
        grant_id=None,
        has=has,
        error=event.techCode,
    )
