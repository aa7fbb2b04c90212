"""What people decide about sessions goes through the road, in one queue with what stations report."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from csms.base.errors import NotYet
from csms.domain.events import Event, Outcome

ANSWER_S_MAX = 20.0
"""The road waits for a database that is away or locked for as long as that takes; whoever asks does not."""

Submit = Callable[[Event, Callable[[Outcome], None]], None]
"""Puts an event on the road; the reply comes after its commit."""


async def through(submit: Submit, event: Event, answer_s_max: float = ANSWER_S_MAX) -> Outcome:
    """
    The outcome of an event, once it is stored.

    NotYet when that takes too long: the event stays on the road, and the same again has no second effect.
    """
    answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

    def reply(outcome: Outcome) -> None:
        if not answered.done():  # whoever asked may have gone
            answered.set_result(outcome)

    submit(event, reply)
    try:
        return await asyncio.wait_for(answered, answer_s_max)
    except TimeoutError:
        raise NotYet("this is not written yet and may still be done; ask again with the same key") from None
