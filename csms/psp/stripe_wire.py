"""The way to Stripe: its own SDK over our aiohttp connections, each call counted, none while nobody answers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

import stripe
from aiohttp import ClientSession, ClientTimeout, TCPConnector

from csms import observe
from csms.psp.breaker import Breaker
from csms.psp.stripe_answers import Resting

CONNECTIONS_MAX = 64
CONNECT_S_MAX = 3.0

T = TypeVar("T")


class Wire:
    """Stripe's services (`v1`) and `call`. Made inside a running event loop; close `http` there."""

    def __init__(
        self, name: str, secret: str, url: str, call_s_max: float, wall: Callable[[], float],
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        timeout = ClientTimeout(total=call_s_max, connect=CONNECT_S_MAX)
        self.http = ClientSession(connector=TCPConnector(limit=CONNECTIONS_MAX), timeout=timeout)
        self.v1 = stripe.StripeClient(
            secret,
            base_addresses={"api": url},
            http_client=stripe.AIOHTTPClient(timeout=timeout, session=self.http),
            max_network_retries=0,  # the outbox asks again, under the same key
        ).v1
        self.wall = wall
        self._name = name
        self._monotonic = monotonic
        self._breaker = Breaker(monotonic)

    async def call(self, operation: str, ask: Callable[[], Awaitable[T]]) -> T:
        """One call; Resting while the breaker says that nobody answers there. Raises FAILURES."""
        if not self._breaker.allows():
            raise Resting
        began, status = self._monotonic(), "no answer"
        try:
            answer = await ask()
            status = "200"
            return answer
        except stripe.StripeError as error:
            status = str(error.http_status or status)
            raise
        finally:
            self._breaker.ended(answered=status.isdecimal() and int(status) < 500)
            observe.PSP_SECONDS.labels(self._name, operation).observe(self._monotonic() - began)
            observe.PSP_CALLS.labels(self._name, operation, status).inc()
