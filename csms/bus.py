"""Finding the process that holds a station. In one process this is a table."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Protocol

from csms.domain.commands import Answer, Command, News

Handler = Callable[[Command | News], Awaitable[Answer]]


def subject(station_id: str, epoch: int) -> str:
    """Where the connection with this epoch listens: a command never reaches a stale one, which has another."""
    return f"station/{station_id}/{epoch}"


class Bus(Protocol):
    """Carries commands to the process that holds a station."""

    def serve(self, name: str, handler: Handler) -> None:
        """Commands for `name` go to `handler` from now on."""

    def drop(self, name: str) -> None:
        """Nobody serves `name` any more."""

    async def is_served(self, name: str) -> bool:
        """Whether somebody serves `name` now."""
        ...

    async def request(self, name: str, command: Command | News) -> Answer:
        """The answer of whoever serves `name`; `offline` when nobody does."""
        ...


class LocalBus:
    """The bus of a single process."""

    __slots__ = ("_handlers",)

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def serve(self, name: str, handler: Handler) -> None:
        """Commands for `name` go to `handler` from now on."""
        self._handlers[name] = handler

    def drop(self, name: str) -> None:
        """Nobody serves `name` any more."""
        self._handlers.pop(name, None)

    async def is_served(self, name: str) -> bool:
        """Whether somebody serves `name` now."""
        return name in self._handlers

    async def request(self, name: str, command: Command | News) -> Answer:
        """The answer of whoever serves `name`; `offline` when nobody does."""
        handler = self._handlers.get(name)
        if handler is None:
            return Answer("offline", error="the station is not connected")
        return await handler(command)
