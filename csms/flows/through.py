"""What people decide about sessions goes through the road, in one queue with what stations report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from csms.domain.events import Event, Outcome

Submit = Callable[[Event, Callable[[Outcome], None]], None]
"""Puts an event on the road; the reply comes after its commit."""


async def through(submit: Submit, event: Event) -> Outcome:
    """The outcome of an event, once it is stored."""
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def reply(outcome: Outcome) -> None:
        if not answered.done():  # whoever asked may have gone
            answered.set_result(outcome)

    submit(event, reply)
    return await answered
