"""What a cabinet says: DataTransfer of `org.csms.assets`, prepared once and patched for each call as in `frames`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from tests.benchmarks import frames

DOORS = 12
ITEMS = 6
"""Doors of a cabinet, and how many of them hold an item when the load begins: room for who takes and who returns."""

GID = b"0" * 36
AT = b"2026-11-20T15:04:05.123Z"
NO_ITEM = b" " * len(frames.station_id(0, "PC-") + "-00")

_GRANT = re.compile(rb'"gid\\?": ?\\?"([0-9a-f-]{36})')
_UNIT = re.compile(rb'"u\\?": ?(\d+)')


def item_code(index: int, unit: int) -> bytes:
    """The code of the item that stands behind a door of cabinet `index` in the beginning."""
    return f"{frames.station_id(index, 'PC-')}-{unit:02d}".encode()


class AssetSpeech:
    """
    What every station with doors or slots says, on one version. On 1.6 `data` is JSON as text, on 2.x an object.

    `token` and `index` are those of the driver who lives at this station.
    """

    def __init__(self, version: str, token: str, run: str, index: int, kind: str, units: int) -> None:
        self.token = token.encode()
        self.index = index
        self.run = run.encode()
        self._as_text = version == "1.6"
        boot = frames.BOOT_16 if self._as_text else frames.BOOT_201
        self._boot = frames.prepared("BootNotification", frames.open_text(boot))
        self._hello = self._prepare(
            "Hello", {"versions": [1], "kind": kind, "units": units, "capabilities": ["item_sensor", "nfc"]}
        )
        asked = {"why": "%b", "token": "%b", "tokenType": "rfid"}
        self._requests = {
            why: self._prepare("Door.Request", {**asked, "why": why}, self.token) for why in ("take", "return")
        }

    def _prepare(self, message: str, body: Mapping[str, object], *sample: object) -> bytes:
        """As `frames.prepared`: call, id of the body, time, then the fields of `body`."""
        text = frames.open_text({"v": 1, "id": "%b-%010d", "ts": "%b", **body})
        data = json.dumps(text) if self._as_text else text
        payload = f'{{"vendorId":"org.csms.assets","messageId":"{message}","data":{data}}}'
        return frames.prepared("DataTransfer", payload, self.run, 0, AT, *sample)

    def boot(self, call: int) -> bytes:
        return self._boot % call

    def hello(self, call: int, at: bytes) -> bytes:
        return self._hello % (call, self.run, call, at)

    def request(self, call: int, at: bytes, asked: int, why: str, token: bytes) -> bytes:
        """A token at the lock; `asked` numbers the wish, which keeps its number when it is asked again."""
        return self._requests[why] % (call, self.run, asked, at, token)


class CabinetSpeech(AssetSpeech):
    """A cabinet with doors, and portable chargers behind them."""

    def __init__(self, version: str, token: str, run: str, index: int) -> None:
        super().__init__(version, token, run, index, "locker", DOORS)
        moved = {"seq": "<%-10d>", "u": "<%-4d>", "gid": "%b"}
        self._door = {
            state: self._prepare("Door.Status", {**moved, "door": state, "has": "<%b>"}, 0, 0, GID, b"false")
            for state in ("open", "closed")
        }
        self._moved = {
            message: self._prepare(message, {**moved, "item": "%b"}, 0, 0, GID, NO_ITEM)
            for message in ("Item.Taken", "Item.Placed")
        }

    def snapshot(self, call: int, at: bytes, items: Sequence[bytes | None], seq: int) -> bytes:
        """What is where, `items` by door from the first. Made anew each time: it is seldom."""
        units = [
            {"u": unit, "door": "closed", "has": item is not None} | ({} if item is None else {"item": item.decode()})
            for unit, item in enumerate(items, 1)
        ]
        last = {"last": seq} if seq else {}
        return self._prepare("Unit.Snapshot", {"units": units, **last}) % (call, self.run, call, at)

    def door(self, call: int, at: bytes, seq: int, unit: int, gid: bytes, state: str, has: bool) -> bytes:
        return self._door[state] % (call, self.run, call, at, seq, unit, gid, b"true " if has else b"false")

    def moved(self, call: int, at: bytes, seq: int, unit: int, gid: bytes, message: str, item: bytes) -> bytes:
        """Item.Taken or Item.Placed."""
        return self._moved[message] % (call, self.run, call, at, seq, unit, gid, item)


def granted(answer: bytes) -> tuple[bytes, int] | None:
    """The grant and its door in the answer to a request, on every version; None if it was not let in."""
    grant, unit = _GRANT.search(answer), _UNIT.search(answer)
    if b'"Accepted"' not in answer or grant is None or unit is None:
        return None
    return grant[1], int(unit[1])


SPEECHES: dict[str, Callable[[str, str, int], CabinetSpeech]] = {
    version: partial(CabinetSpeech, version) for version in frames.SUBPROTOCOLS
}
