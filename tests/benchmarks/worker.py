"""One process of the load: connects its share of the stations, then obeys the lines on its standard input."""

from __future__ import annotations

import asyncio
import json
import resource
import sys
import time
from collections import Counter
from typing import Any
from urllib.parse import urlsplit

import uvloop

from tests.benchmarks import cabinets, client, frames, swap_stations
from tests.benchmarks.load import Plan

CONNECTING_MAX = 100
READY_S_MAX = 300.0
DRAIN_S_MAX = 60.0
SCENARIOS = client.SCENARIOS | {"lockers": cabinets.Cabinet} | swap_stations.SCENARIOS


async def work(plan: Plan, number: int) -> None:
    """
    Drives the stations `number`, `number + plan.processes`, ... of `plan`.

    Says `ready` when all are booted; then each line it reads is one step: begin, start of the window, end of
    the window, after which every station finishes its session and the result is printed.
    """
    loop = asyncio.get_running_loop()
    orders = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(orders), sys.stdin)
    tally, calendar = client.Tally(), frames.Calendar()
    everyone_ready, everyone_done = asyncio.Event(), asyncio.Event()
    mine = range(number, plan.stations, plan.processes)
    left = {"ready": len(mine), "done": len(mine)}

    def ready() -> None:
        left["ready"] -= 1
        if left["ready"] == 0:
            everyone_ready.set()

    def done() -> None:
        left["done"] -= 1
        if left["done"] == 0 or not everyone_ready.is_set():
            everyone_done.set()
            everyone_ready.set()

    stations = await _connect(plan, mine, tally, calendar, ready, done)
    SCENARIOS[plan.scenario].meet(stations, plan.pause_s)
    try:
        await asyncio.wait_for(everyone_ready.wait(), READY_S_MAX)
    except TimeoutError:
        waits = Counter(client.KINDS[station.kind] for station in stations)
        raise SystemExit(f"{left['ready']} stations were not ready within {READY_S_MAX} s; at {waits}") from None
    if everyone_done.is_set():
        raise SystemExit(f"a station could not get ready: {tally.first_error}")
    _print({"event": "ready"})
    await orders.readline()
    for station in stations:
        station.begin()
    await orders.readline()
    tally.clear()
    cpu_before = _cpu_s()
    await orders.readline()
    counted = [kind.tobytes().hex() for kind in tally.latencies]
    waiting = sum(station.calls_due() for station in stations)
    result = {"sessions": tally.sessions, "cpu_s": _cpu_s() - cpu_before, "latencies": counted, "waiting": waiting}
    for station in stations:
        station.halt()
    try:
        await asyncio.wait_for(everyone_done.wait(), DRAIN_S_MAX)
    except TimeoutError:
        tally.note(f"{left['done']} stations were not answered within {DRAIN_S_MAX} s")
    for station in stations:
        station.transport.abort()
    totals = {"sessions_total": tally.sessions_total, "errors": tally.errors, "closed": tally.closed}
    _print({"event": "result", "first_error": tally.first_error, **totals, **result})


async def _connect(
    plan: Plan, mine: range, tally: client.Tally, calendar: frames.Calendar, *news: Any
) -> list[client.Station]:
    loop = asyncio.get_running_loop()
    address = urlsplit(plan.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    kind, versions, run = SCENARIOS[plan.scenario], plan.version.split(","), f"{int(time.time()):08x}"
    gate = asyncio.Semaphore(CONNECTING_MAX)

    async def connect(index: int) -> client.Station:
        name = frames.station_id(index, plan.prefix)
        version = versions[index % len(versions)]
        speech = kind.speeches[version](frames.token_text(index), run, index)
        hello = frames.handshake(f"{host}:{port}", address.path.rstrip("/"), name, plan.password, version)
        async with gate:
            made = await loop.create_connection(lambda: kind(speech, hello, tally, calendar, *news), host, port)
        return made[1]

    return await asyncio.gather(*(connect(index) for index in mine))


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _print(message: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    uvloop.run(work(Plan(**json.loads(sys.argv[1])), int(sys.argv[2])))
