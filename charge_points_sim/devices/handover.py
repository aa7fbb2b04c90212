"""A place where a vehicle stands, at which vouchers are handed over that were bought for it: `Voucher.Deliver`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from charge_points_sim.devices.assets import VENDOR, Error, body_of, fault_of, id_of, instant, result
from charge_points_sim.devices.device import Payload
from charge_points_sim.station import Station

VOUCHER_LENGTH_MAX = 3_000


class Delivered(NamedTuple):
    """A voucher as its vehicle got it: what the vehicle tells of itself in full, and the signed document."""

    vehicle: str
    document: str


def nobody(id: str) -> None:
    """Who waits for no voucher."""


class Handover:
    """
    Lets a `station` take vouchers for the vehicle that is `there`: what it tells of itself, by type (`EVCCID`, ...).

    `delivered` are the vouchers that were taken, by id; `told` is called with each, once.
    """

    def __init__(self, station: Station, there: Mapping[str, str], told: Callable[[str], None] = nobody) -> None:
        self.there = there
        self.delivered: dict[str, Delivered] = {}
        self._station = station
        self._told = told
        self._answers: dict[str, tuple[str, dict[str, Any]]] = {}
        station.hears = self._hears

    def _hears(self, action: str, payload: Payload) -> str | None:
        """Answers deliveries; everything else is answered as by any station."""
        if (action, payload.get("vendorId"), payload.get("messageId")) != ("DataTransfer", VENDOR, "Voucher.Deliver"):
            return None
        body = body_of(payload) or {}
        id, version = id_of(body), self._station.device.version
        if id in self._answers:  # the same command again: its first answer, and nothing more
            status, data = self._answers[id]
            return result(version, status, {**data, "dup": True})
        status, data = self._judged(id, body)
        if id:
            self._answers[id] = (status, data)
        return result(version, status, data)

    def _judged(self, id: str, body: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
        """The answer to a delivery that is new, which is taken if nothing is against it."""
        data: dict[str, Any] = {"v": 1, "id": id}
        vehicle = self._vehicle(body.get("vehicle"))
        error = self._against(body, vehicle)
        if error is not None:
            return "Rejected", {**data, "err": error}
        self.delivered[id] = Delivered(str(vehicle), str(body["voucher"]))
        self._told(id)
        return "Accepted", data

    def _against(self, body: Mapping[str, Any], vehicle: str | None) -> Error | None:
        if (fault := fault_of(body)) is not None:
            return fault
        document = body.get("voucher")
        if not isinstance(document, str) or not 0 < len(document) <= VOUCHER_LENGTH_MAX:
            return "BadPayload"
        if self._station.now() >= (instant(body["exp"]) or 0):
            return "GrantExpired"
        return "UnknownVehicle" if vehicle is None else None

    def _vehicle(self, named: object) -> str | None:
        """The vehicle that is there, if it is meant: of its name the first and last characters are told."""
        if not isinstance(named, Mapping):
            return None
        own = self.there.get(str(named.get("type")))
        first, masked, last = str(named.get("value")).partition("...")
        if own is None or not (own.startswith(first) and own.endswith(last) if masked else own == first):
            return None
        return own
