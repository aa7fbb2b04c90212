"""
After its first boot a station is told once which readings to send: without registers nothing can be billed.

Asked once per station and version, not at every boot: some stations reboot for it, or lose their
settings (quirks Q-M19, Q-M20). What already sends the energy register is left as it is.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import structlog

from csms.domain.commands import Answer
from csms.ocpp.schemas import Version
from csms.ocpp.tx_limits import COMPONENT, VARIABLE, read

SETTLE_S = 10
"""A station that has just booted has other things to do (quirks Q-B02, Q-C07)."""

CHARGING_S = 600
"""A station that charges is left alone for so long, then looked at again."""

TALKS_MAX = 8
"""Stations that are set up at a time: after a restart thousands boot at once."""

REGISTER = "Energy.Active.Import.Register"
WANTED = (REGISTER, "Power.Active.Import", "SoC")
"""Measurands, the dispensable last."""

SAMPLED = "MeterValuesSampledData"
SAMPLED_MAX = "MeterValuesSampledDataMaxLength"

VARIABLES = (
    ("TxStartedMeasurands", (REGISTER,)),
    ("TxUpdatedMeasurands", WANTED[:2]),
    ("TxEndedMeasurands", (REGISTER,)),
)
"""2.x: variables of SampledDataCtrlr, and what they should hold."""

log = structlog.get_logger("csms.ocpp")

Outcome = Literal["done", "refused"]


@dataclass(frozen=True, slots=True)
class Said:
    """How it ended: whether the station sends registers from now on, and what it was set to."""

    outcome: Outcome
    settings: dict[str, str] = field(default_factory=dict)
    tx_limits: frozenset[str] | None = None
    """2.1: the limits of a session that the station keeps itself."""


Talk = Generator[tuple[str, dict[str, Any]], Answer, Said]
"""A conversation without I/O: it yields calls, is sent their answers, returns how it ended."""


def talk(version: Version) -> Talk:
    """What is said to a station of this version."""
    return talk_16() if version == "ocpp1.6" else talk_2x(version)


def talk_16() -> Talk:
    """1.6: the list of measurands in one setting, which has a longest length; a shorter list when it is rejected."""
    answer = yield "GetConfiguration", {"key": [SAMPLED, SAMPLED_MAX]}
    keys = {row.get("key"): row for row in _rows(answer, "configurationKey")}
    now = str(keys.get(SAMPLED, {}).get("value") or "")
    if REGISTER in _listed(now):
        return Said("done", {SAMPLED: now})
    if answer.end != "accepted" or keys.get(SAMPLED, {}).get("readonly") is True:
        return Said("refused", {SAMPLED: now} if now else {})
    length = _number(keys.get(SAMPLED_MAX, {}).get("value"))
    wanted = WANTED[: max(1, length)] if length is not None else WANTED
    while wanted:
        value = ",".join(wanted)
        answer = yield "ChangeConfiguration", {"key": SAMPLED, "value": value}
        if answer.end == "accepted":
            return Said("done", {SAMPLED: value})
        if answer.end != "rejected" or (answer.payload or {}).get("status") == "NotSupported":
            break
        wanted = wanted[:-1]
    return Said("refused")


def talk_2x(version: Version) -> Talk:
    """2.x: what goes with Started, Updated and Ended; each that lacks the register is set. 2.1: its limits, too."""
    asked = [_variable(name) for name, _ in VARIABLES]
    if version == "ocpp2.1":
        asked.append({"component": {"name": COMPONENT}, "variable": {"name": VARIABLE}})
    answer = yield "GetVariables", {"getVariableData": asked}
    tx_limits: frozenset[str] | None = frozenset() if version == "ocpp2.1" else None
    settings = {}
    for row in _rows(answer, "getVariableResult"):
        if (row.get("component") or {}).get("name") == COMPONENT:
            tx_limits = read(str(row.get("attributeValue") or ""))
            continue
        name = str((row.get("variable") or {}).get("name"))
        if REGISTER in _listed(str(row.get("attributeValue") or "")):
            settings[name] = str(row["attributeValue"])
    lacking = [(name, wanted) for name, wanted in VARIABLES if name not in settings]
    while lacking:
        data = [_variable(name) | {"attributeValue": ",".join(wanted)} for name, wanted in lacking]
        answer = yield "SetVariables", {"setVariableData": data}
        words = {
            str((row.get("variable") or {}).get("name")): row.get("attributeStatus")
            for row in _rows(answer, "setVariableResult")
        }
        settings |= {name: ",".join(it) for name, it in lacking if words.get(name) in ("Accepted", "RebootRequired")}
        lacking = [(name, it[:1]) for name, it in lacking if words.get(name) == "Rejected" and len(it) > 1]
    return Said("done" if len(settings) == len(VARIABLES) else "refused", settings, tx_limits)


def _variable(name: str) -> dict[str, Any]:
    return {"component": {"name": "SampledDataCtrlr"}, "variable": {"name": name}}


def _rows(answer: Answer, name: str) -> list[dict[str, Any]]:
    """The objects of a list in an answer, as far as it has them."""
    rows = (answer.payload or {}).get(name)
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",")]


def _number(value: object) -> int | None:
    text = str(value or "").strip()
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 6 else None


class Book(Protocol):
    """Where it is remembered which stations are set up."""

    async def is_charging(self, station_id: str) -> bool:
        """Whether a session runs at the station."""

    async def note(self, station_id: str, version: str, outcome: Outcome, settings: dict[str, str]) -> None:
        """Remembers that the station was set up."""

    async def learn_limits(self, station_id: str, tx_limits: frozenset[str]) -> None:
        """Remembers which limits of a session it keeps itself."""


Ask = Callable[[str, dict[str, Any]], Awaitable[Answer]]


Learned = Callable[[frozenset[str]], None]


def _unheard(tx_limits: frozenset[str]) -> None:
    """Where nobody wants to know."""


class Setup:
    """Sets stations up, a few at a time. Build it inside the running loop."""

    def __init__(self, book: Book) -> None:
        self._book = book
        self._places = asyncio.Semaphore(TALKS_MAX)

    async def run(
        self, station_id: str, version: Version, ask: Ask, is_gone: Callable[[], bool], learned: Learned = _unheard
    ) -> bool:
        """
        Talk with a station through `ask`. False when it charges now: it should be tried again later.

        `learned` hears which limits of a session it keeps itself.

        A connection that ends meanwhile leaves nothing: the next boot begins anew.
        """
        async with self._places:
            if is_gone():
                return True
            if await self._book.is_charging(station_id):
                return False
            said = await _hold(talk(version), ask)
            if not is_gone():
                await self._book.note(station_id, version, said.outcome, said.settings)
                if said.tx_limits is not None:
                    await self._book.learn_limits(station_id, said.tx_limits)
                    learned(said.tx_limits)
                log.info("station set up", station=station_id, outcome=said.outcome, settings=said.settings)
            return True


async def _hold(conversation: Talk, ask: Ask) -> Said:
    try:
        action, payload = next(conversation)
        while True:
            action, payload = conversation.send(await ask(action, payload))
    except StopIteration as end:
        said: Said = end.value
        return said
