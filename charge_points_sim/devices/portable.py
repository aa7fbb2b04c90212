"""
A portable charger without I/O: an item with a code, and a station with one connector while it is plugged in.

Give `portable.station` to a `Connection` when it is plugged into an outlet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from charge_points_sim.devices.device import Device, StopReason
from charge_points_sim.devices.memory import Memory
from charge_points_sim.devices.outbox import Outbox
from charge_points_sim.faults import CALM, Faults
from charge_points_sim.line import Settle, ignore
from charge_points_sim.session import Session, Token
from charge_points_sim.station import Connector, Station

CONNECTOR = 1


@dataclass(slots=True)
class Outlet:
    """A socket in a wall: the tag on it, if any, its own meter, and where it is in 1/1000000 degree (lat, lon)."""

    tag: str | None = None
    meter_wh: int = 0
    place: tuple[int, int] | None = None


class Portable:
    """
    Item `code`; its station's id is `id` (default: the code). `new_ref` draws 2.x transaction ids.

    It gives energy only while it is plugged in and the system has accepted the session.
    """

    def __init__(
        self,
        code: str,
        device: Device,
        new_ref: Callable[[], str],
        clock: Callable[[], int],
        id: str | None = None,
        memory: Memory | None = None,
        faults: Faults = CALM,
        register_wh: int = 0,
    ) -> None:
        self.code = code
        self.outlet: Outlet | None = None
        self._announced = True
        connectors = {CONNECTOR: Connector(CONNECTOR, register_wh)}
        self.station = Station(id or code, device, new_ref, clock, connectors, faults)
        self.station.asked_to_start = lambda asked: self.outlet is not None
        self.station.asked_to_stop = lambda session: self.stop("remote")
        self.station.judged = self._judged
        self.station.listened = self._introduce
        self.outbox = Outbox(self.station, memory or Memory(clock()), clock)

    @property
    def session(self) -> Session | None:
        """The running session, accepted or not."""
        return self.station.connectors[CONNECTOR].session

    @property
    def energised(self) -> bool:
        """Whether energy flows."""
        session = self.session
        return self.outlet is not None and session is not None and bool(session.accepted) and not session.suspended

    def plug(self, outlet: Outlet) -> None:
        """Somebody plugs it into an outlet: it has power, and boots once it is connected."""
        assert self.outlet is None, f"{self.code} is plugged in already"
        self.outlet = outlet
        self._announced = False
        if self.station.booted:
            self._announce()

    def unplug(self) -> None:
        """Somebody pulls it out: what runs ends, and it says so with its last breath, or when it is plugged in next."""
        outlet = self.outlet
        assert outlet is not None, f"{self.code} is not plugged in"
        if self.session is not None:
            self.stop("departed")
        self.outlet = None
        if self._announced:
            self.outbox.tell("Socket.Disconnected", self._where(outlet))
        self._announced = True

    def lose_power(self) -> None:
        """The last breath is over: only what was written to disk is left. Close the connection, too."""
        self.outbox.close()
        self.outbox.memory = Memory.load(self.outbox.memory.dump())
        self.station.lose_power()

    def start(self, token: Token, settle: Callable[[Session], None] = lambda session: None) -> Session:
        """A driver holds a token to it; `settle` gets the session once the system has answered."""
        assert self.outlet is not None, f"{self.code} has no power"

        def judged(session: Session) -> None:
            self._judged(session)
            settle(session)

        return self.station.start(CONNECTOR, token, judged)

    def deliver(self, wh: int, settle: Settle = ignore, power_w: int | None = None) -> int:
        """The car would take `wh`: what really flowed is metered and answered, 0 if it is not energised."""
        session, outlet = self.session, self.outlet
        if not self.energised or session is None or outlet is None:
            settle({})
            return 0
        before = session.register_wh
        self.station.meter(session, before + wh, settle, power_w)
        flowed = session.register_wh - before
        outlet.meter_wh += flowed
        return flowed

    def stop(self, reason: StopReason = "local", settle: Settle = ignore) -> None:
        """The session ends where its register stands."""
        session = self.session
        assert session is not None, f"nothing runs at {self.code}"
        self.station.end(session, session.register_wh, settle, reason)
        self._show()

    def _judged(self, session: Session) -> None:
        """The system has answered: a session that it refused ends without energy."""
        if session is self.session and not session.accepted:
            self.stop("deauthorized")
        else:
            self._show()

    def _show(self) -> None:
        if self.station.booted:
            self.station.show(CONNECTOR, "charging" if self.energised else "available")

    def _introduce(self) -> None:
        self._show()
        self.station.beat()
        self.outbox.introduce(("Hello", self._hello()))
        self._announce()

    def _hello(self) -> dict[str, Any]:
        return {"versions": [1], "kind": "portable", "units": 0, "capabilities": [], "item": self.code}

    def _announce(self) -> None:
        """Tells once where it was plugged in."""
        if self.outlet is not None and not self._announced:
            self._announced = True
            self.outbox.tell("Socket.Connected", self._where(self.outlet))

    def _where(self, outlet: Outlet) -> dict[str, Any]:
        where: dict[str, Any] = {"item": self.code, "meter": self.station.connectors[CONNECTOR].register_wh}
        if outlet.tag is not None:
            where["tag"] = outlet.tag
        if outlet.place is not None:
            where["lat"], where["lon"] = outlet.place
        return where
