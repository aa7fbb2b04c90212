"""The drivers' terminals: they fetch long tokens from the social-payment server and keep them while they hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import aiohttp

from charge_points_sim.scenarios.drivers import Driver

TOKEN_S = 3600
FETCHES_MAX = 8
"""So many tokens are fetched at once."""


class Wallet:
    """Answers a driver's token of the social-payment server at `social_url`."""

    def __init__(
        self, http: aiohttp.ClientSession, social_url: str, clock_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._http = http
        self._url = f"{social_url.rstrip('/')}/oauth/driver-token"
        self._clock_s = clock_s
        self._kept: dict[str, tuple[float, str]] = {}
        self._gate = asyncio.Semaphore(FETCHES_MAX)

    async def token(self, driver: Driver) -> str:
        """A token that holds for a while. Raises `aiohttp.ClientError` when the server is away."""
        kept = self._kept.get(driver.name)
        if kept is not None and self._clock_s() < kept[0]:
            return kept[1]
        body = {"subject": driver.name, "expires_in": TOKEN_S}
        async with self._gate, self._http.post(self._url, json=body) as answer:
            answer.raise_for_status()
            token: str = (await answer.json())["access_token"]
        self._kept[driver.name] = (self._clock_s() + TOKEN_S / 2, token)
        return token
