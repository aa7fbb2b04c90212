"""
Conversations written down: what a station sends, what is understood of it, what it is answered.

    version ocpp1.6                  the version agreed on; `strict` behind it for a strict station
    kind battery_station             what the station is, if it is no charger
    road SessionStarted blocked ref=7    how the road answers such a report from here on
    rules ItemPlaced error=ItemMismatch  how the rules answer such a report of items and doors from here on
    > [2,"1","Heartbeat",{}]         the station sends
    = SessionStarted connector=1     it was understood so (the fields that matter here)
    < [3,"1",{}]                     the system answers
    call Reset {"type":"Soft"}       staff have a call sent
    command OpenDoor unit=3 why=take the rules have a door opened
    end rejected DoorJammed          how that call ended, and its error where one is named
    close 1002                       the system closes the connection
    stall                            the road decides nothing of what is reported from here on
    wait 0.8                         so many seconds pass
    decide                           the road decides what it had let wait
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

from csms.domain.asset_events import AssetAnswer, BillTold
from csms.domain.commands import (
    Answer,
    Command,
    DeliverVoucher,
    LimitSlot,
    OpenDoor,
    ReleasePack,
    ReportUnits,
    StartSwap,
)
from csms.domain.events import RECORDED, Event, Outcome
from csms.domain.pack_events import PackStated
from csms.domain.pack_state import PackState
from csms.domain.voucher_asks import VoucherAnswer
from csms.ocpp.calls import BATTERY_STATION, Desk
from csms.ocpp.draw import Draw
from csms.ocpp.gateway import COMMANDS
from csms.ocpp.peer import Peer
from csms.ocpp.slot_uses import SlotUses
from csms.psp.base import Denied, VerifiedToken
from tests.make import NOON

FOLDER = Path(__file__).parent / "transcripts"

TOKENS = {"good-token": VerifiedToken("social", "https://social.example", "sue", NOON)}


class Conversation:
    """A peer whose road answers from a table, and the line that notes what is sent."""

    def __init__(self, version: Any = "ocpp1.6", strict: bool = False, backlog_max: int = 64) -> None:
        self.sent: list[bytes] = []
        self.events: list[Event] = []
        self.outcomes: dict[str, Outcome] = {}
        self.ends: list[Answer] = []
        self.closed: tuple[int, str] | None = None
        self.holds: list[bool] = []
        self.pending: list[Callable[[], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.stalled = False
        self.vouchers = VoucherAnswer()
        self.desk = Desk(
            submit=self._submit,
            clock=lambda: NOON,
            verify=self._verify,
            draw=Draw(_counted()),
            later=lambda seconds, action: self.timers.append((seconds, action)),
            backlog_max=backlog_max,
            consult=lambda question, reply: self.pending.append(lambda: reply(self.vouchers)),
        )
        self.peer = Peer(self.desk, self, "S1", version, 1, strict)

    def _submit(self, event: Event, reply: Callable[[Outcome], None]) -> None:
        self.events.append(event)
        outcome = self.outcomes.get(type(event).__name__, RECORDED)
        self.pending.append(lambda: reply(outcome))

    def _verify(self, token: str, station_id: str, on_word: Callable[[VerifiedToken | Denied], None]) -> None:
        self.pending.append(lambda: on_word(TOKENS.get(token, Denied("unknown"))))

    def commit(self) -> None:
        """The road commits one report."""
        self.pending.pop(0)()

    def say(self, text: str) -> None:
        """The station says `text`, and the road commits whatever comes of it."""
        self.peer.receive(text)
        if not self.stalled:
            self.decide()

    def decide(self) -> None:
        """The road commits everything that waits."""
        while self.pending:
            self.commit()

    def wait(self, seconds: float) -> None:
        """So much time passes; timers that end by then do so."""
        due = [action for at, action in self.timers if at <= seconds]
        self.timers = [(at - seconds, action) for at, action in self.timers if at > seconds]
        for action in due:
            action()

    def command(self, command: Command) -> None:
        """The rules have the station asked."""
        action, payload = COMMANDS[self.peer.version](command, NOON)
        self.peer.asking.ask(action, payload, self.ends.append)

    def kind(self, kind: str) -> None:
        """What the station is."""
        self.peer.kind = kind
        self.peer.slots = SlotUses() if kind == BATTERY_STATION else None

    def send(self, text: bytes) -> None:
        self.sent.append(text)

    def hold(self, held: bool) -> None:
        self.holds.append(held)

    def close(self, code: int, reason: str) -> None:
        self.closed = (code, reason)

    def heard(self) -> list[Any]:
        """What was answered since the last look."""
        sent, self.sent = self.sent, []
        return [json.loads(text) for text in sent]


def play(path: Path) -> None:
    """Plays one transcript; raises AssertionError, naming the line, where it goes another way."""
    told = Conversation()
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            told = _step(told, line.strip())
        except AssertionError as error:
            raise AssertionError(f"{path.name}:{number}: {line.strip()}\n{error}") from error
    _all_told(told)


def _step(told: Conversation, line: str) -> Conversation:
    word, _, rest = line.partition(" ")
    match word:
        case "" | "#":
            pass
        case "version":
            version, _, strict = rest.partition(" ")
            return Conversation(version, strict == "strict")
        case "kind":
            told.kind(rest)
        case "road":
            name, status, *fields = rest.split()
            told.outcomes[name] = replace(Outcome(status), **_fields(fields))
        case "rules":
            name, *fields = rest.split()
            told.outcomes[name] = Outcome("accepted", asset=replace(AssetAnswer(), **_asset_fields(fields)))
        case "stall":
            told.stalled = True
        case "wait":
            told.wait(float(rest))
        case "decide":
            told.stalled = False
            told.decide()
        case ">":
            _all_told(told)
            told.say(rest)
        case "<":
            assert told.sent, "nothing was answered"
            found = json.loads(told.sent.pop(0))
            assert found == json.loads(rest), json.dumps(found)
        case "=":
            assert told.events, "nothing was understood"
            event = told.events.pop(0)
            name, *fields = rest.split()
            assert type(event).__name__ == name, event
            for field, value in _fields(fields).items():
                found = _field(event, field)
                assert found == value, f"{field} is {found!r}"
        case "call":
            action, _, payload = rest.partition(" ")
            told.peer.asking.ask(action, json.loads(payload), told.ends.append)
        case "command":
            name, *fields = rest.split()
            told.command(_COMMANDS[name](**_asset_fields(fields)))
        case "end":
            assert told.ends, "the call has not ended"
            ended, (end, _, error) = told.ends.pop(0), rest.partition(" ")
            assert (ended.end, ended.error if error else "") == (end, error), ended
        case "close":
            assert told.closed is not None
            assert told.closed[0] == int(rest), told.closed
            told.closed = None
        case _:
            raise AssertionError(f"no such line in a transcript: {word}")
    return told


def _all_told(told: Conversation) -> None:
    assert not told.sent, f"also answered: {told.sent}"
    assert not told.events, f"also understood: {told.events}"
    assert told.closed is None, f"closed: {told.closed}"


def _field(event: Event, name: str) -> Any:
    """A field; `registers` for the Wh of the readings, `packs` and `units` for what is in slots; times as RFC 3339."""
    if name == "registers":
        return [reading.register_wh for reading in event.readings]  # type: ignore[union-attr]
    if name == "powers":
        return [reading.power_w for reading in event.readings]  # type: ignore[union-attr]
    if name == "packs":
        slots = event.slots  # type: ignore[union-attr]
        return [[unit, pack.serial, pack.soc if isinstance(pack, PackState) else None] for unit, pack in slots]
    if name == "units":
        return [[*unit[:3], unit.pack and unit.pack.serial] for unit in event.units]  # type: ignore[union-attr]
    if isinstance(event, PackStated) and name in event.pack._fields:
        return getattr(event.pack, name)
    value = getattr(event, name)
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def _fields(parts: list[str]) -> dict[str, Any]:
    """`name=value` with the value as JSON where it is JSON, else as text."""
    fields: dict[str, Any] = {}
    for part in parts:
        name, _, value = part.partition("=")
        try:
            fields[name] = json.loads(value)
        except json.JSONDecodeError:
            fields[name] = value
    return {
        name: str(value) if name in ("ref", "start_key", "token") and value is not None else value
        for name, value in fields.items()
    }


def _asset_fields(parts: list[str]) -> dict[str, Any]:
    """Fields of our words about items and doors: ids and instants are not text."""
    fields = _fields(parts)
    for name in fields.keys() & {"grant_id", "request_id", "swap_id", "voucher_id"}:
        fields[name] = UUID(fields[name])
    for name in fields.keys() & {"units_in", "units_out", "limits"}:
        fields[name] = tuple(tuple(value) if isinstance(value, list) else value for value in fields[name])
    if "bill" in fields:
        fields["bill"] = BillTold(*fields["bill"])
    if "expires_at" in fields:
        fields["expires_at"] = datetime.fromisoformat(fields["expires_at"])
    return fields


_COMMANDS: dict[str, Callable[..., Command]] = {
    "OpenDoor": partial(OpenDoor, item=None, hold_s=None, expires_at=NOON + timedelta(seconds=15)),
    "ReportUnits": partial(ReportUnits, expires_at=NOON + timedelta(seconds=15)),
    "StartSwap": partial(StartSwap, expires_at=NOON + timedelta(seconds=15)),
    "ReleasePack": partial(ReleasePack, error=None, expires_at=NOON + timedelta(seconds=15)),
    "LimitSlot": partial(LimitSlot, begins=NOON),
    "DeliverVoucher": partial(DeliverVoucher, expires_at=NOON + timedelta(seconds=60)),
}


def _counted() -> Callable[[int], bytes]:
    """Ids that are the same in every run: a transcript can name an alias."""
    return lambda count: bytes(range(256)) * (count // 256)
