"""What `org.csms.assets` may tell a battery station to do: begin a swap, hand packs out, give packs back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from charge_points_sim.devices.assets import Error
from charge_points_sim.devices.cabinet import Order
from charge_points_sim.devices.device import Payload
from charge_points_sim.devices.doors import refusal

if TYPE_CHECKING:
    from charge_points_sim.devices.battery_station import BatteryStation


def orders(station: BatteryStation) -> dict[str, Order]:
    """Its commands. To the hands that pull a pack out, one that is returned is as one that is released."""

    def against_release(body: Payload) -> Error | None:
        return _against_release(station, body)

    def release(body: Payload, error: Error | None) -> None:
        if error == "DoorJammed":
            _notice_jams(station, body["u"])
        if error is None:
            station.release(body["rid"], body["u"], body["id"])

    def against_swap(body: Payload) -> Error | None:
        return _against_swap(station, body)

    def swap(body: Payload, error: Error | None) -> None:
        if error == "DoorJammed":
            _notice_jams(station, [*body["in"], *body["out"]])
        if error is None:
            begun = station.swaps.of(body["rid"], body["token"], "alias")
            station.await_packs(begun, body["in"], body["id"])

    return {
        "Swap.Start": Order(against_swap, swap),
        "Battery.Release": Order(against_release, release),
        "Battery.Return": Order(against_release, release),
    }


def _against_swap(station: BatteryStation, body: Payload) -> Error | None:
    into, out = _units(body.get("in")), _units(body.get("out"))
    rid, count = body.get("rid"), body.get("n")
    if into is None or out is None or not isinstance(body.get("token"), str):
        return "BadPayload"
    if not isinstance(rid, int) or not isinstance(count, int):
        return "BadPayload"
    if rid in station.swaps.known:
        return "GrantUsed"
    if station.no_room(0) is not None:
        return "Busy"
    if into and len(into) < count:
        return "NoEmptySlot"
    return _against(station, into, "return") or _against(station, out, "take")


def _against_release(station: BatteryStation, body: Payload) -> Error | None:
    units = _units(body.get("u"))
    if not units or not isinstance(body.get("rid"), int):
        return "BadPayload"
    return _against(station, units, "take")


def _against(station: BatteryStation, units: Iterable[int], why: str) -> Error | None:
    """The first reason against unlocking these slots."""
    reasons = (refusal(station.slots.get(u), why) for u in units)
    return next((reason for reason in reasons if reason is not None), None)


def _notice_jams(station: BatteryStation, units: Iterable[int]) -> None:
    for u in units:
        if station.slots[u].jam == "noticed":
            station.notice_jam(station.slots[u], None)


def _units(units: object) -> list[int] | None:
    """A list of slot numbers, each once; None if it is none."""
    if not isinstance(units, list) or not all(isinstance(u, int) for u in units):
        return None
    return units if len(set(units)) == len(units) else None
