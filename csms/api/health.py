"""Whether the system lives, can take stations, and how it fares."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aiohttp import web

from csms import observe
from csms.db import Pool
from csms.store.reach import round_trip_s

Ready = Callable[[], Mapping[str, bool]]
"""What must be so before stations are taken, and whether it is: `{"listening": True, "writer": True}`."""


async def healthz(pool: Pool, timeout_s: float) -> web.Response:
    """200 with the time of a database round trip, 503 when the database does not answer."""
    took_s = await round_trip_s(pool, timeout_s)
    if took_s is None:
        return web.json_response({"status": "unavailable", "database_ms": None}, status=503)
    observe.DATABASE_SECONDS.set(took_s)
    return web.json_response({"status": "ok", "database_ms": round(took_s * 1000, 3)})


async def readyz(pool: Pool, timeout_s: float, ready: Ready) -> web.Response:
    """200 when stations can be taken, 503 with what is missing."""
    parts = {**ready(), "database": await round_trip_s(pool, timeout_s) is not None}
    good = all(parts.values())
    return web.json_response({"status": "ready" if good else "not ready", "parts": parts}, status=200 if good else 503)


async def metrics() -> web.Response:
    """The metrics in Prometheus' text form."""
    body, content_type = observe.exposition()
    return web.Response(body=body, headers={"Content-Type": content_type})
