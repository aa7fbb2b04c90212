"""
The controller of a cabinet without I/O: what the system asks and what people do become events, answers and open doors.

It is a `Station` (give `cabinet.station` to a `Connection`), whose connectors are its doors or slots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Generic, NamedTuple, TypeVar

from charge_points_sim.devices.assets import VENDOR, Error, Opening, body_of, instant, result
from charge_points_sim.devices.device import Device, Payload, Status
from charge_points_sim.devices.doors import AJAR_AFTER_S, HOLD_S, Door, Jam, shown
from charge_points_sim.devices.judging import RULES, Judge, Rules, nothing
from charge_points_sim.devices.memory import Memory, Request
from charge_points_sim.devices.outbox import Outbox, Reply
from charge_points_sim.faults import CALM, Faults
from charge_points_sim.line import CallFailed
from charge_points_sim.station import Connector, Station

ACCEPTED, REJECTED = '{"status":"Accepted"}', '{"status":"Rejected"}'
D = TypeVar("D", bound=Door)


class Outcome(NamedTuple):
    """What a token at the lock led to: the door that opened, or why none did."""

    u: int | None
    err: str | None


class Order(NamedTuple):
    """A command as it is carried out: what is against it, and what is done, told what was against it."""

    against: Callable[[Payload], Error | None]
    act: Callable[[Payload, Error | None], None]


class Cabinet(Generic[D]):
    """
    A cabinet of `doors`, offline until its station is connected and booted.

    `clock` answers true time in epoch seconds; the controller's own is `clock_error_s` ahead of it. `unlocked`
    lists each unlocking by the system, as (door, grant or command, true time), for tests of what must never happen.
    """

    kind = ""
    capabilities: tuple[str, ...] = ()

    def __init__(
        self,
        id: str,
        device: Device,
        doors: Iterable[D],
        clock: Callable[[], int],
        memory: Memory | None = None,
        rules: Rules = RULES,
        faults: Faults = CALM,
        new_ref: Callable[[], str] = str,
    ) -> None:
        self.doors: dict[int, D] = {door.number: door for door in doors}
        self.clock_error_s = 0
        self.asked: Request | None = None
        """The last request by a token."""
        self.unlocked: list[tuple[int, str, int]] = []
        self.orders = {"Unit.Report": Order(nothing, self._report)}
        """What it does when it is told to, beside Door.Open."""
        self._clock = clock
        self._judge = Judge(rules, self.doors)
        connectors = {number: Connector(number) for number in self.doors}
        self.station = Station(id, device, new_ref, self.now, connectors, faults)
        self.station.asked_to_start = lambda asked: False
        self.station.hears = self._hears
        self.station.listened = self._introduce
        self.outbox = Outbox(self.station, memory or Memory(clock()), self.now)

    @property
    def memory(self) -> Memory:
        """What survives a power cut."""
        return self.outbox.memory

    def now(self) -> int:
        """The controller's own time."""
        return self._clock() + self.clock_error_s

    def lose_power(self) -> None:
        """All but the doors and what was written to disk is forgotten; cut the connection too."""
        self.outbox.close()
        self.outbox.memory = Memory.load(self.memory.dump())
        self.station.lose_power()

    def present(
        self,
        token: str,
        why: str,
        settle: Callable[[Outcome | CallFailed], None],
        u: int | None = None,
        token_type: str = "rfid",
        nonce: str | None = None,
    ) -> None:
        """A driver holds a token to the lock, for any door or for `u`; if there is no answer, `insist`."""
        chosen: dict[str, Any] = {"why": why, "token": token, "tokenType": token_type}
        if u is not None:
            chosen["u"] = u
        if nonce is not None:
            chosen["nonce"] = nonce
        self.asked = self.memory.request("Door.Request", self.now(), chosen)
        self.insist(settle)

    def insist(self, settle: Callable[[Outcome | CallFailed], None]) -> None:
        """Asks once more for what was asked last, with the same id."""
        asked = self.asked
        assert asked is not None, "no token was presented"

        def read(reply: Reply | CallFailed) -> None:
            settle(reply if isinstance(reply, CallFailed) else self._decided(asked, reply))

        self.outbox.ask(asked, read)

    def standing(self, why: str) -> list[int]:
        """The doors that stand open with an item to take, or with room for one to return."""
        return [d.number for d in self.doors.values() if d.open and (d.item is not None) == (why == "take")]

    def pull(self, u: int) -> bool:
        """Somebody pulls at a door; whether it opens. Doors that spring open need none of this."""
        door = self.doors[u]
        faulty = door.jam is not None or self.station.line.faults.jams()
        if door.open or faulty or door.gid is None or self.now() >= door.released_until:
            return False
        door.unlock(door.gid, self.now())
        self._tell("Door.Status", door, door="open", has=door.seen is not None)
        self._show(door)
        return True

    def close(self, u: int) -> None:
        """Somebody closes a door."""
        door = self.doors[u]
        assert door.open, f"door {u} is closed already"
        door.shut()
        self._tell("Door.Status", door, door=door.state, has=door.seen is not None)
        door.gid = None
        self._show(door)

    def force(self, u: int) -> None:
        """Somebody breaks a door open."""
        door = self.doors[u]
        assert not door.open, f"door {u} is open already"
        door.unlock(None, self.now())
        self._tell("Door.Status", door, door="forced", has=door.seen is not None)
        self._show(door)

    def jam(self, u: int, how: Jam | None = "noticed") -> None:
        """The door will not open any more; None repairs it."""
        door = self.doors[u]
        door.jam = how
        if how is None and door.jam_known:
            door.jam_known = False
            self._tell("Door.Status", door, door=door.state, has=door.seen is not None)
            self._show(door)

    def tick(self) -> None:
        """Time passes: locks that nobody pulled lock again, open doors are ajar once, the outbox tries again."""
        for door in self.doors.values():
            if not door.open and self.now() >= door.released_until:
                door.gid = None
            if door.open and not door.ajar and not door.forced and self.now() - door.opened_at > AJAR_AFTER_S:
                door.ajar = True
                self._tell("Door.Status", door, door="ajar", has=door.seen is not None)
        self.outbox.resume()

    def show(self) -> None:
        """Reports the status of every door."""
        for door in self.doors.values():
            self._show(door)

    def _status(self, door: D) -> Status:
        return shown(door, self.station.device.version)

    def _show(self, door: D) -> None:
        if self.station.booted:
            self.station.show(door.number, self._status(door))

    def _tell(self, message: str, of: Door, **body: Any) -> None:
        grant = {} if of.gid is None else {"gid": of.gid}
        self._say(message, {"u": of.number, **grant, **body})

    def _say(self, message: str, body: dict[str, Any]) -> None:
        """An event of `org.csms.assets`."""
        self.outbox.tell(message, body)

    def notice_jam(self, door: D, gid: str | None) -> None:
        """A lock that noticed its jam says so, once."""
        if not door.jam_known:
            door.jam_known = True
            grant = {} if gid is None else {"gid": gid}
            told = {"u": door.number, "door": "jammed", "has": door.seen is not None, "err": "DoorJammed"}
            self._say("Door.Status", told | grant)
            self._show(door)

    def _introduce(self) -> None:
        """The system listens: the doors' statuses, the time, then Hello, the snapshot and what is queued."""
        self.show()
        self.station.beat()
        self.outbox.introduce(("Hello", self._hello()), ("Unit.Snapshot", self._snapshot()))

    def _hello(self) -> dict[str, Any]:
        return {"versions": [1], "kind": self.kind, "units": len(self.doors), "capabilities": [*self.capabilities]}

    def _snapshot(self) -> dict[str, Any]:
        last = {"last": self.memory.seq} if self.memory.seq else {}
        return {"units": [door.unit() for door in self.doors.values()], **last}

    def _hears(self, action: str, payload: Payload) -> str | None:
        """Calls that are about doors."""
        match action:
            case "DataTransfer" if payload.get("vendorId") == VENDOR:
                return self._commanded(payload)
            case "ChangeAvailability":
                return self._set_available(payload)
            case "TriggerMessage" if payload.get("requestedMessage") == "StatusNotification":
                self.show()
                return ACCEPTED
            case _:
                return None

    def _set_available(self, payload: Payload) -> str:
        """Of one door, or of all (0 on 1.6, no EVSE on 2.x)."""
        number = payload.get("connectorId") or (payload.get("evse") or {}).get("id") or 0
        doors = list(self.doors.values()) if number == 0 else [d for d in self.doors.values() if d.number == number]
        for door in doors:
            door.out_of_service = "Inoperative" in (payload.get("type"), payload.get("operationalStatus"))
            self._show(door)
        return ACCEPTED if doors else REJECTED

    def _commanded(self, payload: Payload) -> str:
        """A command of `org.csms.assets`: decided, its answer stored, and only then done."""
        version, message, body = self.station.device.version, payload.get("messageId"), body_of(payload) or {}
        order = self.orders.get(str(message))
        if order is None and message != "Door.Open":
            return result(version, "UnknownMessageId")
        against = None if order is None else order.against
        judged = self._judge.command(body, against, self.memory, self.now(), self.station.drift_s)
        answer = judged.answer
        if not judged.dup:
            if answer.data["id"]:
                self.memory.answered(answer.data["id"], answer)
            if judged.opening is not None:
                self._act(judged.opening, judged.error)
            elif order is not None:
                order.act(body, judged.error)
        return result(version, answer.status, answer.data)

    def _report(self, body: Payload, error: Error | None) -> None:
        if error is None:
            self.outbox.report("Unit.Snapshot", self._snapshot())

    def _act(self, opening: Opening, error: str | None) -> None:
        """Opens the door if nothing is against it."""
        door = self.doors.get(opening.u)
        if door is None:
            return
        if error == "DoorJammed":
            self.notice_jam(door, opening.gid)
        if error is not None:
            return
        self.memory.used(opening.gid, self.now())
        door.gid, door.released_until = opening.gid, self.now() + (opening.hold_s or HOLD_S)
        self.unlocked.append((door.number, opening.gid, self._clock()))
        if door.springs:
            self.pull(door.number)

    def _decided(self, request: Request, reply: Reply) -> Outcome:
        """A grant in the answer to a token is acted on as Door.Open is; a door that then does not open says so."""
        data = reply.data
        if not reply.accepted or "gid" not in data:
            return Outcome(None, str(data.get("err", "NotAuthorized")))
        exp = instant(data.get("exp"))
        opening = Opening(int(data["u"]), str(data["gid"]), request.body["why"], self.now(), exp or 0)
        error = self._judge.opening(opening, self.memory, self.now(), self.station.drift_s)
        self._act(opening, error)
        return Outcome(None if error else opening.u, error)
