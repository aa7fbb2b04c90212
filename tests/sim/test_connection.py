"""A simulated station's WebSocket, when the other end does not behave."""

from __future__ import annotations

import asyncio
from random import Random

import pytest

from charge_points_sim import connection
from charge_points_sim.connection import CannotConnect, Connection
from charge_points_sim.devices import DEVICES
from charge_points_sim.station import Station


async def test_a_handshake_that_is_never_answered_leaves_no_connection_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "HANDSHAKE_S_MAX", 0.05)
    ended = asyncio.Event()

    async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await reader.read(-1)
        except ConnectionResetError:
            pass
        finally:
            writer.close()
            ended.set()

    server = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    station = Station("S1", DEVICES["1.6"], new_ref=lambda: "1", clock=lambda: 0)
    with pytest.raises(CannotConnect, match="did not answer"):
        await Connection(station, f"ws://127.0.0.1:{port}/ocpp", None, Random(1)).connect()
    await asyncio.wait_for(ended.wait(), 5)
    server.close()
