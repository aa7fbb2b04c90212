"""The HTTP server of the REST application."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

DRAIN_S = 3
"""How long requests under way may take to finish when the server closes."""

MALFORMED = logging.getLogger("csms.malformed_http")
MALFORMED.setLevel(logging.CRITICAL)
"""Where aiohttp tells of bytes that are not HTTP, with a stack each: silent, or anybody could flood the log."""


@asynccontextmanager
async def listening(app: web.Application, host: str, port: int) -> AsyncIterator[int]:
    """Serve `app` (on any free port if 0) and give the port; left, requests under way are finished first."""
    runner = web.AppRunner(app, access_log=None, logger=MALFORMED, handle_signals=False, shutdown_timeout=DRAIN_S)
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port).start()
        chosen: int = runner.addresses[0][1]
        yield chosen
    finally:
        await runner.cleanup()
