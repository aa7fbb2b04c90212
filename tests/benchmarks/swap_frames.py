"""What a battery station says: `org.csms.assets`, on 2.1 the words of OCPP itself where it has some; prepared once."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.benchmarks import frames
from tests.benchmarks.locker_frames import AT, AssetSpeech

SLOTS = 8
CAPACITY_WH = 1_500
SOH = 9_500

_RID = re.compile(rb'"rid\\?": ?\\?(\d+)')


def item_code(index: int, unit: int) -> str:
    """The code that is printed on the pack which stands in a slot of station `index` in the beginning."""
    return f"{frames.station_id(index, 'BAT-')}-{unit:02d}"


def serial_of(index: int, unit: int) -> str:
    """What the battery of that pack says itself."""
    return f"SN{index:05d}{unit:02d}"


@dataclass(slots=True)
class Pack:
    """A pack, and its counters. Levels are in 1/100 %."""

    serial: bytes
    soc: int
    given_wh: int = 50_000
    taken_wh: int = 52_000

    def use(self, soc: int) -> None:
        """It is ridden down to a level."""
        self.given_wh += (self.soc - soc) * CAPACITY_WH * SOH // 10**8
        self.soc = soc

    def charge(self, soc: int) -> None:
        """It is charged up to a level."""
        self.taken_wh += (soc - self.soc) * CAPACITY_WH * SOH // 10**8
        self.soc = soc


NO_PACK = Pack(serial_of(0, 0).encode(), 0)
_BATTERY = {
    "serial": "%b", "soc": "<%-5d>", "soh": SOH, "dischargeWh": "<%-10d>", "chargeWh": "<%-10d>", "epoch": 1,
    "temp": 25, "cycles": 310, "capacity": CAPACITY_WH, "faults": [],
}  # fmt: skip
_NATIVE = {"Battery.Inserted": "BatteryIn", "Battery.Released": "BatteryOut"}


def _told(pack: Pack) -> tuple[bytes, int, int, int]:
    return pack.serial, pack.soc, pack.given_wh, pack.taken_wh


class SwapSpeech(AssetSpeech):
    """
    One battery station on one version.

    On 2.1 packs in odd slots are told of by their charging (TransactionEvent without a token), swaps by BatterySwap.
    """

    def __init__(self, version: str, token: str, run: str, index: int) -> None:
        super().__init__(version, token, run, index, "battery_station", SLOTS)
        self.is_native = version == "2.1"
        slot, event = {"mode": "charging", "source": "station", "u": "<%-4d>"}, {"seq": "<%-10d>"}
        self._state = self._prepare("Battery.State", {**event, **_BATTERY, **slot}, 0, *_told(NO_PACK), 0)
        swap = {"seq": "<%-10d>", "rid": "<%-10d>", "slots": [{"u": "<%-4d>", "battery": _BATTERY}]}
        self._moved = {message: self._prepare(message, swap, 0, 0, 0, *_told(NO_PACK)) for message in _NATIVE}
        self._swapped = {message: _battery_swap(kind) for message, kind in _NATIVE.items()}
        self._charged = _charged(run)
        self._empty = _empty_16() if self._as_text else _empty_2x()

    def snapshot(self, call: int, at: bytes, packs: Sequence[Pack | None]) -> bytes:
        """What stands where, by slot from the first. Made anew: it is said once."""
        units: list[dict[str, Any]] = [{"u": unit, "door": "closed", "has": True} for unit in range(1, SLOTS + 1)]
        for unit, pack in zip(units, packs, strict=True):
            assert pack is not None
            unit["battery"] = {"serial": pack.serial.decode(), "soc": pack.soc, "soh": SOH, "capacity": CAPACITY_WH}
        return self._prepare("Unit.Snapshot", {"units": units}) % (call, self.run, call, at)

    def tells_by_charging(self, unit: int) -> bool:
        """Whether a slot's pack is told of in OCPP's own words."""
        return self.is_native and unit % 2 == 1

    def state(self, call: int, at: bytes, seq: int, unit: int, pack: Pack) -> bytes:
        """How a pack in a slot is."""
        if self.tells_by_charging(unit):
            return self._charged % (call, at, call, self.index, unit, at, pack.soc / 100, unit)
        return self._state % (call, self.run, call, at, seq, *_told(pack), unit)

    def empty(self, call: int, at: bytes, unit: int) -> bytes:
        """A slot without a pack."""
        return self._empty % (call, at, unit)

    def moved(self, call: int, at: bytes, seq: int, message: str, rid: int, unit: int, pack: Pack) -> bytes:
        """Battery.Inserted or Battery.Released."""
        if self.is_native:
            return self._swapped[message] % (call, rid, unit, pack.serial, pack.soc / 100)
        return self._moved[message] % (call, self.run, call, at, seq, rid, unit, *_told(pack))


def _battery_swap(kind: str) -> bytes:
    nobody = {"idToken": "", "type": "NoAuthorization"}
    pack = {"evseId": "<%-4d>", "serialNumber": "%b", "soC": "<%6.2f>", "soH": SOH / 100}
    payload = {"eventType": kind, "requestId": "<%-10d>", "idToken": nobody, "batteryData": [pack]}
    return frames.prepared("BatterySwap", frames.open_text(payload), 0, 0, NO_PACK.serial, 0)


def _charged(run: str) -> bytes:
    """The charging of a slot's pack goes on: one transaction per slot, its number that of the call."""
    payload = {
        "eventType": "Updated",
        "timestamp": "%b",
        "triggerReason": "MeterValuePeriodic",
        "seqNo": "<%-10d>",
        "transactionInfo": {"transactionId": f"{run}-%05d-%02d", "chargingState": "Charging"},
        "meterValue": [
            {
                "timestamp": "%b",
                "sampledValue": [{"value": "<%6.2f>", "measurand": "SoC", "context": "Sample.Periodic"}],
            }
        ],
        "evse": {"id": "<%-4d>", "connectorId": 1},
    }
    return frames.prepared("TransactionEvent", frames.open_text(payload), AT, 0, 0, 0, AT, 0, 0)


def _empty_16() -> bytes:
    payload = {"timestamp": "%b", "connectorId": "<%-4d>", "status": "Available", "errorCode": "NoError"}
    return frames.prepared("StatusNotification", frames.open_text(payload), AT, 0)


def _empty_2x() -> bytes:
    payload = {"timestamp": "%b", "evseId": "<%-4d>", "connectorStatus": "Available", "connectorId": 1}
    return frames.prepared("StatusNotification", frames.open_text(payload), AT, 0)


def rid_of(answer: bytes) -> int | None:
    """The number of the swap that an answer is of."""
    found = _RID.search(answer)
    return None if found is None else int(found[1])


SPEECHES: dict[str, Callable[[str, str, int], SwapSpeech]] = {
    version: partial(SwapSpeech, version) for version in frames.SUBPROTOCOLS
}
