"""
Slots in OCPP's own words: NotifyReport of 2.0.1 and 2.1 as what stands where.

The device model of 2.1's block S, whose names are not case-sensitive: SlotStatus and AvailabilityState tell
whether something stands in a slot, the component BatteryCartridge what. The EVSE is the slot. A report comes in
parts, each of which is understood by itself; what says nothing of whether something stands there is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from hashlib import sha256
from typing import Any

from csms.domain.asset_events import UnitSeen, UnitsSeen
from csms.domain.pack_state import PackState
from csms.ocpp import times
from csms.ocpp.calls import BATTERY_STATION, CONNECTOR_MAX, Call, Reply
from csms.ocpp.levels import hundredths, whole
from csms.ocpp.readings import wh
from csms.ocpp.repair import decimal, instant
from csms.ocpp.v201.doors import ID_DIGITS, VARIABLES, WORDS

BATTERIES = ("batterycartridge", "battery")
AVAILABILITY = "availabilitystate"
OUT_OF_SERVICE = "unavailable"
FIELDS = {
    "serialnumber": "serial",
    "soc": "soc",
    "stateofcharge": "soc",
    "soh": "soh",
    "stateofhealth": "soh",
    "temperature": "temp",
    "cycles": "cycles",
    "chargecycles": "cycles",
    "capacity": "capacity",
    "productiondate": "made",
}
"""Variables of a battery. TargetSoC, or TargetSoc, is a wish, and nothing of the pack itself."""

SERIAL_LENGTH_MAX = 50
TEMP_MIN, TEMP_MAX = -100, 200
CYCLES_MAX = CAPACITY_WH_MAX = 1_000_000

Told = dict[str, tuple[str, str | None]]
"""What is told of one slot: value and unit, by our name of it."""


def reported(call: Call) -> UnitsSeen | Reply:
    """What a part of a battery station's report says of slots; of other stations it is only acknowledged."""
    payload = call.payload
    slots: dict[int, Told] = {}
    if call.kind == BATTERY_STATION:
        for unit, name, value, measure in _variables(payload.reportData):
            slots.setdefault(unit, {})[name] = value, measure
    seen = [found for unit, told in sorted(slots.items()) if (found := _seen(unit, told)) is not None]
    if not seen:
        return Reply(b"{}")
    at = instant(payload.generatedAt, call.received_at)
    text = f"{payload.requestId}|{payload.seqNo}|{at.isoformat()}"
    return UnitsSeen(
        station_id=call.station_id,
        received_at=call.received_at,
        id=f"report-{sha256(text.encode()).hexdigest()[:ID_DIGITS]}",
        at=at,
        seq=None,
        offline=False,
        raw=call.raw,
        units=tuple(seen),
        last_seq=None,
    )


def _variables(entries: Any) -> Iterator[tuple[int, str, str, str | None]]:
    """Slot, our name of it, value and unit of every variable that we look at."""
    for entry in entries or ():
        component, variable = entry.component, entry.variable
        if component is None or variable is None or component.evse is None:
            continue
        unit, value = component.evse.id, _actual(entry.variableAttribute)
        name = _name((component.name or "").casefold(), (variable.name or "").casefold())
        if name is None or value is None or unit is None or not 1 <= unit <= CONNECTOR_MAX:
            continue
        traits = entry.variableCharacteristics
        yield unit, name, value, None if traits is None else traits.unit


def _name(component: str, variable: str) -> str | None:
    if component in BATTERIES:
        return FIELDS.get(variable)
    if variable in VARIABLES:
        return "slot"
    return "availability" if variable == AVAILABILITY else None


def _actual(attributes: Any) -> str | None:
    """The value that a variable has, as text without what cannot be printed."""
    for attribute in attributes or ():
        if attribute.type in (None, "Actual") and attribute.value is not None:
            return "".join(letter for letter in attribute.value if letter.isprintable()).strip()
    return None


def _seen(unit: int, told: Told) -> UnitSeen | None:
    """One slot; None where it is not said whether something stands there. SlotStatus tells more than the others."""
    slot = WORDS.get(told.get("slot", ("", None))[0].casefold())
    availability = told.get("availability", ("", None))[0].casefold()
    known = WORDS.get(availability)
    pack = _pack(told)
    has = slot[1] if slot is not None else None
    if has is None and _serial(told) is not None:
        has = True
    if has is None and known is not None:
        has = known[1]
    if has is None:
        return None
    door = slot[0] if slot is not None else known[0] if known is not None else "closed"
    return UnitSeen(unit, door, has, None, availability == OUT_OF_SERVICE, pack if has else None)


def _serial(told: Told) -> str | None:
    serial = told.get("serial", ("", None))[0]
    return serial if 0 < len(serial) <= SERIAL_LENGTH_MAX else None


def _pack(told: Told) -> PackState | None:
    """The pack; None where its serial or its charge is not told."""
    serial = _serial(told)
    soc = hundredths(_value(told, "soc"))
    if serial is None or soc is None:
        return None
    value, unit = told.get("capacity", (None, None))
    return PackState(
        serial,
        soc,
        hundredths(_value(told, "soh")),
        temp=_within(decimal(_value(told, "temp")), TEMP_MIN, TEMP_MAX),
        cycles=_within(decimal(_value(told, "cycles")), 0, CYCLES_MAX),
        capacity_wh=_within(wh(value, unit), 1, CAPACITY_WH_MAX),
        made=_day(_value(told, "made")),
    )


def _value(told: Told, name: str) -> str | None:
    return told[name][0] if name in told else None


def _within(number: Decimal | int | None, low: int, high: int) -> int | None:
    found = None if number is None else whole(Decimal(number))
    return found if found is not None and low <= found <= high else None


def _day(text: str | None) -> date | None:
    at = None if text is None else times.lenient(text)
    return None if at is None else at.date()
