"""
OCPP 2.1 BatterySwap (block S): packs that were put in, taken out, or not taken.

It has neither an id nor a number nor a time: one that says the same again on that day is the same. It cannot be
refused, its answer has no fields; what is wrong with a pack is said by a command that follows.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Any, Literal

from csms.domain.pack_events import InSlot, PacksMoved
from csms.domain.pack_state import NoLevel, PackState
from csms.ocpp.calls import CONNECTOR_MAX, Call, Unclear
from csms.ocpp.levels import hundredths
from csms.ocpp.masking import without_tokens
from csms.ocpp.v21.commands import REQUEST_ID_MAX
from csms.ocpp.v201.tokens import token_of

WHAT: dict[str, Literal["in", "out", "timeout"]] = {
    "batteryin": "in",
    "batteryout": "out",
    "batteryouttimeout": "timeout",
}
PACKS_MAX = 16
"""More at a time than any station has hands for; the protocol of ours takes no more either."""

SERIAL_LENGTH_MAX = 50
ID_DIGITS = 24


def packs_moved(call: Call) -> PacksMoved:
    """One step of a swap. Raises `Unclear` where it does not say which, or of which packs."""
    payload = call.payload
    what = WHAT.get((payload.eventType or "").casefold())
    rid = payload.requestId
    if what is None or rid is None or not 0 <= rid <= REQUEST_ID_MAX:
        raise Unclear(f"a BatterySwap of type {str(payload.eventType)[:20]} with requestId {rid}")
    slots = _slots(payload.batteryData or ())
    told = [(slot.unit, *slot.pack[:3]) for slot in slots]  # serial, level, health
    # a station that lost its memory counts its swaps anew: on another day the same is another swap
    text = f"{call.received_at.date()}|{rid}|{what}|{sorted(told)!r}"
    return PacksMoved(
        station_id=call.station_id,
        received_at=call.received_at,
        id=f"swap-{sha256(text.encode()).hexdigest()[:ID_DIGITS]}",
        at=call.received_at,
        seq=None,
        offline=False,
        raw=without_tokens(call.raw),
        what=what,
        rid=rid,
        token=token_of(payload.idToken),
        slots=slots,
        swap_id=call.desk.draw.uuid(call.received_at),
    )


def _slots(batteries: Any) -> tuple[InSlot, ...]:
    slots = tuple(_in_slot(battery) for battery in batteries)
    if not 0 < len({slot.unit for slot in slots}) == len(slots) <= PACKS_MAX:
        raise Unclear(f"a BatterySwap of {len(slots)} packs, or with a slot that is told of twice")
    return slots


def _in_slot(battery: Any) -> InSlot:
    """
    One pack. That it moved is recorded also where it does not say how full it is, or says the impossible.

    Some fill the serial up with blanks or zero bytes.
    """
    unit = battery.evseId
    if unit is None or not 1 <= unit <= CONNECTOR_MAX:
        raise Unclear(f"a BatterySwap at slot {unit}")
    serial = "".join(letter for letter in battery.serialNumber or "" if letter.isprintable()).strip()
    if not 0 < len(serial) <= SERIAL_LENGTH_MAX:
        raise Unclear(f"a BatterySwap with a serial of {len(serial)} characters")
    soc, soh = hundredths(battery.soC), hundredths(battery.soH)
    made = None if battery.productionDate is None else battery.productionDate.date()
    return InSlot(unit, NoLevel(serial, soh, made) if soc is None else PackState(serial, soc, soh, made=made))
