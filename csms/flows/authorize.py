"""
Asking a psp whether a driver may start, outside every transaction.

The verdict is a report like any other (`AuthorizationDecided`). After `AUTHORIZE_WAIT_S_MAX` the
station is told no (`timed_out`); the asking goes on, because a late approval must be given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import replace
from uuid import UUID

import structlog

from csms.base.clock import Clock
from csms.domain.authorization import Ask
from csms.domain.events import AuthorizationDecided
from csms.psp.base import Answer, Psp, ask_key

AUTHORIZE_WAIT_S_MAX = 10.0
"""How long a station's start waits for a psp."""

LATE_S_MAX = 120.0
"""How long we go on asking; then the timers look what became of it."""

PAUSE_S = 0.2
PAUSE_S_MAX = 5.0

log = structlog.get_logger("authorize")


async def answered(psp: Psp, question: Ask, ask_s_max: float = LATE_S_MAX) -> Answer:
    """
    The psp's answer, asked for under one key until it is clear or `ask_s_max` seconds are over.

    Once an answer was lost, the ask may have had its effect: that our next one is at fault says
    nothing of it, and stays unknown.
    """
    loop = asyncio.get_running_loop()
    end, pause, key = loop.time() + ask_s_max, PAUSE_S, ask_key(question.authorization_id)
    lost = False
    while True:
        answer = await psp.authorize(key, question)
        lost = lost or answer.end == "unknown"
        if answer.end == "our_fault" and lost:
            return replace(answer, end="unknown")
        if answer.end not in ("unknown", "retryable") or loop.time() + pause >= end:
            return answer
        await asyncio.sleep(pause)
        pause = min(pause * 2, PAUSE_S_MAX)


class Asker:
    """
    Asks psps for the road: call it with an `Ask`, and `report` gets the verdict, and again if it came late.

    Asking for what is being asked already is one asking. `draw_driver_id` makes the id that an
    unseen person gets; `clock` is the system's.
    """

    def __init__(
        self,
        psps: Mapping[str, Psp],
        report: Callable[[AuthorizationDecided], None],
        clock: Clock,
        draw_driver_id: Callable[[], str],
        *,
        wait_s_max: float = AUTHORIZE_WAIT_S_MAX,
        ask_s_max: float = LATE_S_MAX,
    ) -> None:
        self._psps = psps
        self._report = report
        self._clock = clock
        self._draw_driver_id = draw_driver_id
        self._wait_s_max = wait_s_max
        self._ask_s_max = ask_s_max
        self._asking: dict[UUID, asyncio.Task[None]] = {}

    def __call__(self, question: Ask) -> None:
        """Ask in the background."""
        id_ = question.authorization_id
        if id_ not in self._asking:
            task = asyncio.create_task(self._ask(question), name=f"ask {id_}")
            self._asking[id_] = task
            task.add_done_callback(lambda _: self._asking.pop(id_, None))

    def asks(self, authorization_id: UUID) -> bool:
        """Whether the verdict is being asked for now."""
        return authorization_id in self._asking

    async def close(self) -> None:
        """Stop asking; what is left undecided, the timers of the next process look after."""
        tasks = list(self._asking.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _ask(self, question: Ask) -> None:
        psp = self._psps.get(question.psp)
        if psp is None:
            self._tell(question, "declined", Answer("our_fault", reason=f"psp {question.psp} is not set up here"))
            return
        asking = asyncio.create_task(answered(psp, question, self._ask_s_max))
        try:
            done, _ = await asyncio.wait({asking}, timeout=self._wait_s_max)
            if not done:
                self._tell(question, "timed_out", Answer("unknown", reason="no answer in time"))
            self._tell_answer(question, await asking)
        except asyncio.CancelledError:
            asking.cancel()
            raise

    def _tell_answer(self, question: Ask, answer: Answer) -> None:
        match answer.end:
            case "done":
                self._tell(question, "authorized", answer)
            case "declined" | "our_fault":
                self._tell(question, "declined", answer)
            case _:
                self._tell(question, "unknown", answer)

    def _tell(self, question: Ask, verdict: str, answer: Answer) -> None:
        write = log.error if answer.end == "our_fault" else log.info
        write(
            "psp verdict",
            authorization=str(question.authorization_id),
            station=question.station_id,
            psp=question.psp,
            outcome=verdict,
            reason=answer.reason,
        )
        self._report(
            decided(question.authorization_id, question.station_id, verdict, answer, self._clock, self._draw_driver_id)
        )


def decided(
    authorization_id: UUID,
    station_id: str,
    verdict: str,
    answer: Answer,
    clock: Clock,
    draw_driver_id: Callable[[], str],
) -> AuthorizationDecided:
    """The report of a verdict."""
    return AuthorizationDecided(
        authorization_id, station_id, clock(), verdict, answer.reason, answer.psp_ref, draw_driver_id()
    )
