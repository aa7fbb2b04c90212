"""The port by which others are told: one message to one endpoint, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to, and the keys that sign: two while one takes the other's place."""

    url: str
    keys: tuple[bytes, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class Message:
    """`id` is the same for every repeat, so that who gets it twice can tell. `at_s` is the attempt's time (wall)."""

    id: str
    at_s: int
    body: bytes


@dataclass(frozen=True, slots=True)
class Delivered:
    """Whether it was taken. `gone`: the endpoint says that it wants nothing any more."""

    taken: bool
    reason: str | None = None
    gone: bool = False


class Notifier(Protocol):
    """Carries messages. No method raises for what the outside does."""

    async def send(self, message: Message, to: Endpoint) -> Delivered:
        """One attempt."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
