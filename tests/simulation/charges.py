"""Charges as stations report them: who, where, how much, and the reports in the order in which they were made."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from uuid import UUID

from csms.base.ids import short_hex, uuid7, wire_number
from csms.domain.events import (
    Event,
    Outcome,
    Reading,
    SessionAuthorized,
    SessionEnded,
    SessionMetered,
    SessionStarted,
    TokenPresented,
)
from tests.make import NOON

KINDS = {
    "rich": 10, "poor": 8, "unknown": 1, "blocked": 1, "driver_blocked": 1, "elsewhere": 1, "bare": 1,
    "approved": 8, "declined": 3, "slow": 3, "never": 2, "twice": 2, "late_no": 1, "spent_twice": 2, "shared": 2,
    "offline": 3, "offline_social": 2, "late_token": 3, "zero": 2, "social_zero": 2, "implausible": 1, "dispute": 2,
    "no_register": 2, "unended": 1,
}  # fmt: skip
"""Kinds of charges and how many of each there are among 64."""

SOCIAL = ("approved", "declined", "slow", "never", "twice", "late_no", "spent_twice", "shared", "social_zero",
          "offline_social")  # fmt: skip

PROMISED = ("rich", "unknown", "blocked", "driver_blocked", "elsewhere", "bare", "approved", "declined", "twice",
            "offline", "offline_social", "late_token", "zero", "social_zero", "implausible")  # fmt: skip
"""Kinds that must come out the same in whatever order their reports arrive."""


@dataclass(slots=True, eq=False)
class Report:
    """One report of a station. It is sent again until it is answered, as a new frame that says the same."""

    charge: Charge
    kind: str
    at: datetime
    wh: int | None = None
    answered: bool = False
    answers: list[Outcome] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Charge:
    """One charge. `own_ref`: the station names it (2.x); otherwise (1.6) it learns `ref` from the first answer."""

    number: int
    kind: str
    station_id: str
    own_ref: bool
    token: str
    connector: int
    begins: float
    """Seconds of the run at which it starts."""
    seconds: int
    start_wh: int
    wh: int
    at_once: bool
    """Its station was away from us: all its reports come when it is over."""
    ref: str | None = None
    reports: list[Report] = field(default_factory=list)

    def again(self) -> Charge:
        """The same charge, of which nothing was reported yet."""
        copy = replace(self, ref=self.ref if self.own_ref else None, reports=[])
        copy.reports = [Report(copy, report.kind, report.at, report.wh) for report in self.reports]
        return copy

    def report(self, kind: str) -> Report | None:
        """The first report of this kind."""
        return next((report for report in self.reports if report.kind == kind), None)


class Draw:
    """What an edge draws for every frame, from one seeded source."""

    def __init__(self, source: random.Random) -> None:
        self.source = source
        self._count = 0

    def id(self) -> UUID:
        """A fresh id."""
        self._count += 256
        return uuid7(1_700_000_000_000, self.source.getrandbits(62) << 18 | self._count & 0x3FF00)

    def driver(self) -> str:
        """The id of a driver nobody saw before."""
        return f"d-{self.source.getrandbits(48):x}"


def charges(source: random.Random, count: int, stations: list[str], span_s: float) -> list[Charge]:
    """`count` charges over `span_s` seconds, and their reports."""
    kinds = source.choices(list(KINDS), list(KINDS.values()), k=count)
    twins: dict[str, tuple[str, str]] = {}
    made = [_charge(source, number, kind, stations, span_s, twins) for number, kind in enumerate(kinds)]
    refs: dict[str, int] = {}
    for charge in made:
        if charge.own_ref:  # stations count their transactions, so the same refs are used at each of them
            refs[charge.station_id] = refs.get(charge.station_id, 0) + 1
            charge.ref = f"tx-{refs[charge.station_id]}"
        _script(source, charge)
    return made


def _charge(
    source: random.Random, number: int, kind: str, stations: list[str], span_s: float, twins: dict[str, tuple[str, str]]
) -> Charge:
    station_id = "BARE" if kind == "bare" else source.choice(stations)
    own_ref = kind in ("late_token", "no_register") or source.random() < 0.6
    token = _token(source, number, kind)
    if kind == "spent_twice":  # two charges with one token that may be spent once, at the same station
        if kind in twins:
            token, station_id = twins.pop(kind)
        else:
            twins[kind] = (token, station_id)
    if kind == "shared":
        token = f"5A{stations.index(station_id):06X}"
    wh = 0 if kind in ("zero", "social_zero") else source.randrange(1, 25_000)
    seconds = source.randrange(600, 3_000)
    if kind == "implausible":
        wh = 900_000
    begins = source.uniform(0, span_s)
    if kind == "poor":  # they come in crowds, and race for what is left of a balance
        begins = round(begins, -2)
    at_once = kind.startswith("offline") or source.random() < 0.25
    return Charge(
        number, kind, station_id, own_ref, token, source.randrange(1, 3), begins, seconds,
        source.randrange(1_000_000), wh, at_once,
    )  # fmt: skip


def _token(source: random.Random, number: int, kind: str) -> str:
    if kind in SOCIAL:
        return f"50C1{number:08X}"
    match kind:
        case "poor":
            return f"B0{source.randrange(2):06X}"
        case "unknown":
            return f"DEAD{number:08X}"
        case "blocked":
            return "BADBADBAD0"
        case "driver_blocked":
            return "E0E0E0E0"
        case "elsewhere":
            return "0FF51DE0"
        case _:
            return f"A0{source.randrange(5):06X}"


def _script(source: random.Random, charge: Charge) -> None:
    begin = NOON + timedelta(seconds=round(charge.begins))
    end = begin + timedelta(seconds=charge.seconds)
    reports = charge.reports
    if source.random() < 0.4 and charge.kind not in ("late_token", "offline", "offline_social"):
        reports.append(Report(charge, "presented", begin))
    reports.append(Report(charge, "started", begin, charge.start_wh))
    if charge.kind == "late_token":
        reports.append(Report(charge, "authorized", begin + timedelta(seconds=5)))
    for place in range(1, source.randrange(1, 4)):
        at = begin + (end - begin) * place / 4
        reports.append(Report(charge, "metered", at, charge.start_wh + charge.wh * place // 4))
    if charge.kind == "unended":
        return
    reports.append(Report(charge, "ended", end, None if charge.kind == "no_register" else charge.start_wh + charge.wh))
    if charge.kind == "dispute":
        reports.append(Report(charge, "ended", end, charge.start_wh + charge.wh + source.randrange(1, 5_000)))


def frame(report: Report, received_at: datetime, draw: Draw) -> Event:
    """The report as an edge reads it from one frame, with ids of that frame's own."""
    charge = report.charge
    station_id, offline = charge.station_id, charge.kind.startswith("offline")
    if report.kind == "presented":
        return TokenPresented(station_id, received_at, charge.token, draw.id(), draw.driver())
    readings = _readings(report)
    if report.kind == "started":
        ref = charge.ref if charge.own_ref else str(wire_number(draw.source.getrandbits(31)))
        assert ref is not None
        start_key = ref if charge.own_ref else f"{charge.connector}|{charge.token}|{report.at}|{report.wh}"
        token = None if charge.kind == "late_token" else charge.token
        return SessionStarted(
            station_id, received_at, report.at, charge.connector, ref, start_key, token, report.wh, offline,
            draw.id(), draw.id(), "[2]", readings,
        )  # fmt: skip
    assert charge.ref is not None
    if report.kind == "authorized":
        return SessionAuthorized(
            station_id, received_at, report.at, charge.connector, charge.ref, charge.token, offline, draw.id(),
            draw.id(), "[2]",
        )  # fmt: skip
    if report.kind == "metered":
        session_id = draw.id() if charge.own_ref else None
        return SessionMetered(
            station_id, charge.ref, received_at, readings, charge.connector, offline, session_id, "[2]"
        )
    token = charge.token if charge.own_ref and charge.number % 4 == 0 else None
    return SessionEnded(
        station_id, received_at, report.at, charge.ref, report.wh, "Local", offline, draw.id(), draw.id(),
        f"[2,{report.wh}]", charge.connector, token, readings, None, charge.own_ref,
    )  # fmt: skip


def _readings(report: Report) -> tuple[Reading, ...]:
    if report.wh is None or (report.kind == "started" and report.charge.number % 3):
        return ()
    return (Reading(report.at, int(short_hex(report.wh * 7 + len(report.kind)), 16) & 0x7FFFFFFF, report.wh),)


def social_tokens(made: list[Charge]) -> dict[str, tuple[str, bool]]:
    """Social tokens: text -> (subject, single use)."""
    tokens = {}
    for charge in made:
        if charge.kind in SOCIAL:
            single = charge.kind != "shared"
            tokens[charge.token] = (f"{charge.kind}-{charge.token}", single)
    return tokens
