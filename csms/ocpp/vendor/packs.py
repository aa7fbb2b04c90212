"""Packs in `org.csms.assets`: what battery stations say of them (docs/reference/assets)."""

from __future__ import annotations

from datetime import date
from typing import Literal

from csms.domain.pack_events import InSlot, PacksMoved, PackStated
from csms.domain.pack_rows import alias_of
from csms.domain.pack_state import PackState
from csms.domain.token import canonical
from csms.ocpp.calls import Call
from csms.ocpp.masking import without_tokens
from csms.ocpp.vendor import bodies
from csms.ocpp.vendor.bodies import BadBody, Body
from csms.ocpp.vendor.reports import event_body, told

WHAT: dict[str, Literal["in", "out", "timeout"]] = {
    "Battery.Inserted": "in",
    "Battery.Released": "out",
    "Battery.ReleaseTimeout": "timeout",
}


def packs_moved(call: Call) -> PacksMoved:
    """Packs were put in, taken out, or not taken; each slot once."""
    body = event_body(call)
    slots = tuple(InSlot(slot["u"], pack_state(slot["battery"])) for slot in body["slots"])
    if len({slot.unit for slot in slots}) < len(slots):
        raise BadBody("BadPayload", "slots: one is told of twice", body["id"])
    return PacksMoved(
        **told(call, body) | {"raw": without_tokens(call.raw)},
        what=WHAT[call.payload.messageId],
        rid=body["rid"],
        token=canonical(body["token"]) or None if "token" in body else None,
        slots=slots,
        swap_id=call.desk.draw.uuid(call.received_at),
    )


def pack_stated(call: Call) -> PackStated:
    """How a pack is, in a slot or in a driver's hands."""
    body = event_body(call)
    return PackStated(**told(call, body), pack=pack_state(body), unit=body.get("u"), source=body["source"])


def pack_state(battery: Body) -> PackState:
    """A pack as its battery describes it."""
    faults = battery.get("faults")
    return PackState(
        serial=battery["serial"],
        soc=battery["soc"],
        soh=battery.get("soh"),
        mv=battery.get("mv"),
        ma=battery.get("ma"),
        temp=battery.get("temp"),
        cycles=battery.get("cycles"),
        discharge_wh=battery.get("dischargeWh"),
        charge_wh=battery.get("chargeWh"),
        epoch=battery.get("epoch"),
        capacity_wh=battery.get("capacity"),
        made=_day(battery.get("made")),
        faults=None if faults is None else tuple(faults),
        mode=battery.get("mode"),
    )


def alias(serial: str) -> str | None:
    """What stands for a serial in fields that have no room for it; None for what is no serial."""
    return alias_of(serial) if bodies.validator("code").is_valid(serial) else None


def _day(text: str | None) -> date | None:
    """None for a day that no calendar has: nothing hangs on it that would be worth a refusal."""
    try:
        return None if text is None else date.fromisoformat(text)
    except ValueError:
        return None
