"""A portable charger without I/O: a station while it is plugged in, and energy only when that was accepted."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from charge_points_sim.devices import DEVICES
from charge_points_sim.devices.portable import Outlet, Portable
from charge_points_sim.faults import Faults
from charge_points_sim.session import Session, Token
from charge_points_sim.times import epoch
from tests.sim.central import Central
from tests.sim.test_station import START

AT = 1_563_969_906
VERSIONS = pytest.mark.parametrize("version", DEVICES)
CARD = Token("04AABBCC")


@dataclass
class Scene:
    """A portable charger in somebody's hands."""

    version: str
    faults: Faults = field(default_factory=Faults)
    at: int = AT

    def __post_init__(self) -> None:
        clock = partial(getattr, self, "at")
        refs = count(1)
        self.central = Central(clock)
        self.charger = Portable(
            "PC-1", DEVICES[self.version], lambda: f"ref-{next(refs)}", clock, faults=self.faults, register_wh=5_000
        )
        self.station = self.charger.station

    def talk(self) -> None:
        """Until all is said."""
        self.central.converse(self.station)

    def plug(self, outlet: Outlet) -> None:
        """Into an outlet: it boots."""
        self.charger.plug(outlet)
        self.station.line.connected()
        if self.station.booted is None:
            self.station.boot()
        self.talk()

    def unplug(self, *, gone_at_once: bool = False) -> None:
        """Out of it; `gone_at_once`: its last breath was not enough for a word."""
        self.charger.unplug()
        if not gone_at_once:
            self.talk()
        self.charger.lose_power()
        self.station.line.disconnected()

    def ask(self, action: str, payload: dict[str, Any]) -> str:
        """The system asks; the status of the answer."""
        self.station.line.receive(json.dumps([2, "s1", action, payload]))
        self.talk()
        return str(self.central.last_answer[2]["status"])

    def registers(self) -> list[int]:
        """Lifetime registers at the ends of sessions."""
        return [
            end.get("meterStop") or end["meterValue"][0]["sampledValue"][0]["value"]
            for end in self.central.system.ends.values()
        ]


@VERSIONS
def test_it_boots_says_which_item_it_is_and_where_it_was_plugged_in(version: str) -> None:
    scene = Scene(version)
    scene.plug(Outlet("OUTLET-7", place=(37_566_500, 126_978_000)))
    actions = [action for action, _ in scene.central.calls]
    assert actions[0] == "BootNotification"
    (hello, connected) = scene.central.heard
    assert (hello[0], hello[1]["kind"], hello[1]["item"]) == ("Hello", "portable", "PC-1")
    assert connected[0] == "Socket.Connected"
    told = {name: connected[1][name] for name in ("item", "tag", "meter", "lat", "lon", "off", "seq")}
    assert told == {
        "item": "PC-1",
        "tag": "OUTLET-7",
        "meter": 5_000,
        "lat": 37_566_500,
        "lon": 126_978_000,
        "off": False,
        "seq": 1,
    }


@VERSIONS
def test_it_charges_from_the_accepted_start_to_the_stop(version: str) -> None:
    scene = Scene(version)
    outlet = Outlet("OUTLET-7")
    scene.plug(outlet)
    assert scene.charger.deliver(100) == 0
    scene.charger.start(CARD)
    assert not scene.charger.energised
    scene.talk()
    assert scene.charger.energised
    assert scene.charger.deliver(700, power_w=2_800) == 700
    scene.charger.stop()
    scene.talk()
    assert not scene.charger.energised and scene.charger.deliver(100) == 0
    assert (scene.registers(), outlet.meter_wh) == ([5_700], 700)


@VERSIONS
def test_a_refused_start_gives_no_energy_and_ends(version: str) -> None:
    scene = Scene(version)
    scene.central.system.refused.add(CARD.value)
    scene.plug(Outlet())
    ends: list[Session] = []
    scene.charger.start(CARD, ends.append)
    scene.talk()
    assert ends[0].accepted is False and scene.charger.session is None
    assert scene.charger.deliver(100) == 0
    assert scene.registers() == [5_000]


@VERSIONS
def test_a_start_that_nobody_answered_gives_no_energy(version: str) -> None:
    scene = Scene(version)
    scene.plug(Outlet())
    scene.station.line.disconnected()
    scene.charger.start(CARD)
    assert scene.charger.deliver(100) == 0
    scene.station.line.connected()
    scene.talk()
    assert scene.charger.deliver(100) == 100


@VERSIONS
def test_the_system_starts_and_stops_it_from_afar(version: str) -> None:
    scene = Scene(version)
    scene.plug(Outlet("OUTLET-7"))
    action, payload = START[version]
    assert scene.ask(str(action), payload) == "Accepted"  # type: ignore[arg-type]
    assert scene.charger.deliver(300) == 300
    session = scene.charger.session
    assert session is not None
    stop = "RemoteStopTransaction" if version == "1.6" else "RequestStopTransaction"
    assert scene.ask(stop, {"transactionId": session.ref}) == "Accepted"
    assert scene.charger.deliver(100) == 0
    assert scene.registers() == [5_300]


@VERSIONS
def test_a_refused_start_from_afar_gives_no_energy_either(version: str) -> None:
    scene = Scene(version)
    scene.central.system.refused.add("AB12")
    scene.plug(Outlet())
    scene.ask(*START[version])  # type: ignore[arg-type]
    assert scene.charger.session is None
    assert scene.charger.deliver(100) == 0


@VERSIONS
def test_pulled_out_while_charging_it_ends_the_session_and_says_so(version: str) -> None:
    scene = Scene(version)
    scene.plug(Outlet("OUTLET-7"))
    scene.charger.start(CARD)
    scene.talk()
    scene.charger.deliver(400)
    scene.at += 900
    scene.unplug()
    assert scene.registers() == [5_400]
    gone = scene.central.told("Socket.Disconnected")[0]
    assert (gone["tag"], gone["meter"], epoch(gone["ts"]), gone["off"]) == ("OUTLET-7", 5_400, AT + 900, False)


@VERSIONS
def test_what_its_last_breath_was_too_short_for_is_told_at_the_next_outlet(version: str) -> None:
    scene = Scene(version)
    scene.plug(Outlet("OUTLET-7"))
    scene.charger.start(CARD)
    scene.talk()
    scene.charger.deliver(400)
    scene.unplug(gone_at_once=True)
    assert scene.registers() == []
    scene.at += 86_400
    scene.plug(Outlet("OUTLET-8"))
    assert scene.registers() == [5_400]
    assert [(body.get("tag"), body["off"]) for body in scene.central.told()] == [
        ("OUTLET-7", False),
        ("OUTLET-7", True),
        ("OUTLET-8", False),
    ]
    assert sum(action == "BootNotification" for action, _ in scene.central.calls) == 2


@VERSIONS
def test_without_power_nothing_starts(version: str) -> None:
    scene = Scene(version)
    with pytest.raises(AssertionError, match="no power"):
        scene.charger.start(CARD)
    scene.plug(Outlet())
    scene.charger.unplug()
    assert scene.ask(*START[version]) == "Rejected"  # type: ignore[arg-type]


acts = st.lists(st.sampled_from(["plug", "unplug", "start", "refused", "stop", "deliver", "cut", "talk"]), max_size=25)


@VERSIONS
@given(acts)
@settings(max_examples=40, deadline=None)
def test_whatever_people_do_the_outlet_gave_what_the_sessions_say(version: str, done: list[str]) -> None:
    scene, outlet = Scene(version), Outlet("OUTLET-7")
    scene.central.system.refused.add("STRANGER")
    charger = scene.charger
    for act in done:
        scene.at += 60
        match act:
            case "plug" if charger.outlet is None:
                scene.plug(outlet)
            case "unplug" if charger.outlet is not None:
                scene.unplug(gone_at_once=scene.at % 120 == 0)
            case "start" | "refused" if charger.outlet is not None and charger.session is None:
                charger.start(CARD if act == "start" else Token("STRANGER"))
            case "stop" if charger.session is not None:
                charger.stop()
            case "deliver":
                before = charger.energised
                assert charger.deliver(50) == (50 if before else 0)
            case "cut":
                scene.station.line.disconnected()
                if charger.outlet is not None:
                    scene.station.line.connected()
            case "talk":
                scene.talk()
    if charger.outlet is None:
        scene.plug(outlet)
    scene.talk()
    if charger.session is not None:
        charger.stop()
    scene.talk()
    assert scene.station.line.idle and charger.outbox.idle
    register = scene.station.connectors[1].register_wh
    assert register - 5_000 == outlet.meter_wh
    assert max(scene.registers(), default=5_000) == register
    assert [body["seq"] for body in scene.central.told()] == list(range(1, charger.outbox.memory.seq + 1))
