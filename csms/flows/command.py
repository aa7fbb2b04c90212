"""Commands to stations: a row, the bus, and one end that is always written (answered, failed, unknown)."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal
from uuid import UUID

from csms.base.clock import Clock
from csms.base.errors import NotFound
from csms.bus import Bus, subject
from csms.db import SQL, Pool
from csms.domain.commands import Answer, AnyCall, Command, News

State = Literal["queued", "sent", "answered", "failed", "unknown"]

STATES: dict[str, State] = {
    "accepted": "answered",
    "rejected": "answered",
    "failed": "failed",
    "offline": "failed",
    "unknown": "unknown",
}
"""Which state an answer's end is stored as."""


@dataclass(frozen=True, slots=True)
class Issued:
    """A command on its way; `answer` ends when the command does."""

    id: UUID
    answer: asyncio.Task[Answer]


class Commands:
    """Sends commands and writes what became of them. A command outlives whoever asked for it."""

    def __init__(self, pool: Pool, bus: Bus, clock: Clock) -> None:
        self._pool = pool
        self._bus = bus
        self._clock = clock
        self._running: set[asyncio.Task[Answer]] = set()

    async def issue(self, command_id: UUID, station_id: str, command: Command, requested_by: str | None) -> Issued:
        """
        Record `command` and send it to the station's newest connection, wherever that is.

        The epoch is read from PostgreSQL for every command. Raises `NotFound` for an unknown station.
        """
        action, payload = _record(command)
        async with self._pool.acquire() as conn:
            arguments = (command_id, station_id, action, json.dumps(payload, default=str), requested_by, self._clock())
            epoch = await SQL.queue_command.value(conn, *arguments)
            if epoch is None:
                raise NotFound(f"no station {station_id}")
            await SQL.mark_command_sent.run(conn, command_id, self._clock())
        task = asyncio.create_task(self._send(command_id, subject(station_id, epoch), command))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return Issued(command_id, task)

    async def is_connected(self, station_id: str, epoch: int) -> bool:
        """Whether the station's connection with this epoch is there, in whatever process."""
        return await self._bus.is_served(subject(station_id, epoch))

    async def tell(self, station_id: str, epoch: int, news: News) -> None:
        """What the process of a connection must know; nothing goes to the station, nothing is recorded."""
        await self._bus.request(subject(station_id, epoch), news)

    async def _send(self, command_id: UUID, name: str, command: Command) -> Answer:
        try:
            answer = await self._bus.request(name, command)
        except asyncio.CancelledError:
            answer = Answer("unknown", error="this process is ending")
        payload = None if answer.payload is None else json.dumps(answer.payload)
        async with self._pool.acquire() as conn:
            await SQL.end_command.run(conn, command_id, STATES[answer.end], payload, answer.error, self._clock())
        return answer

    async def stop(self) -> None:
        """Write an end for everything that is still under way."""
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)


async def end_forgotten(pool: Pool, clock: Clock, age: timedelta) -> None:
    """End the commands of processes that died, once they are older than any command may take."""
    async with pool.acquire() as conn:
        await SQL.end_forgotten_commands.run(conn, clock() - age, clock())


def _record(command: Command) -> tuple[str, dict[str, Any]]:
    if isinstance(command, AnyCall):
        return command.action, command.payload
    return type(command).__name__, asdict(command)
