"""Servers that are no payment service, or one gone wrong."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

from aiohttp import web


@asynccontextmanager
async def answering(answers: Iterator[tuple[int, str]]) -> AsyncIterator[str]:
    """A server that gives these (status, body) one after the other, whatever it is asked; its address."""

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        status, body = next(answers)
        return web.Response(status=status, text=body, headers={"Location": "/"} if 300 <= status < 400 else {})

    runner = web.ServerRunner(web.Server(answer))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
