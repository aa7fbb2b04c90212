"""
The stock server: what one writes in an afternoon with `ocpp`, `websockets` and `asyncpg`, one durable insert per call.

Run as `python -m tests.benchmarks.stock --dsn DSN`; prints a ready line like `csms serve`. Defaults everywhere:
asyncio's own loop, schema validation on, a pool of ten connections. It has no tariff, no hold, no bill, no ledger.
`--heartbeats-unstored` answers Heartbeat alone without an insert.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import asyncpg
from ocpp.routing import on
from ocpp.v16 import ChargePoint as ChargePoint16
from ocpp.v16 import call_result as result16
from ocpp.v16.datatypes import IdTagInfo
from ocpp.v201 import ChargePoint as ChargePoint201
from ocpp.v201 import call_result as result201
from ocpp.v201.datatypes import IdTokenInfoType
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

TABLE = """
drop table if exists message;
create table message (
  id bigint generated always as identity primary key,
  station_id text not null,
  action text not null,
  payload jsonb not null,
  received_at timestamptz not null default now()
);
"""
INSERT = "insert into message (station_id, action, payload) values ($1, $2, $3) returning id"


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class Station16(ChargePoint16):  # type: ignore[misc]
    """Handlers of OCPP 1.6."""

    pool: asyncpg.Pool[asyncpg.Record]
    heartbeats_stored: bool

    async def insert(self, action: str, payload: dict[str, Any]) -> int:
        number: int = await self.pool.fetchval(INSERT, self.id, action, json.dumps(payload, default=str))
        return number

    @on("BootNotification")  # type: ignore[untyped-decorator]
    async def boot(self, **payload: Any) -> result16.BootNotification:
        await self.insert("BootNotification", payload)
        return result16.BootNotification(current_time=now(), interval=300, status="Accepted")

    @on("Heartbeat")  # type: ignore[untyped-decorator]
    async def heartbeat(self, **payload: Any) -> result16.Heartbeat:
        if self.heartbeats_stored:
            await self.insert("Heartbeat", payload)
        return result16.Heartbeat(current_time=now())

    @on("Authorize")  # type: ignore[untyped-decorator]
    async def authorize(self, **payload: Any) -> result16.Authorize:
        await self.insert("Authorize", payload)
        return result16.Authorize(id_tag_info=IdTagInfo(status="Accepted"))

    @on("StartTransaction")  # type: ignore[untyped-decorator]
    async def start_transaction(self, **payload: Any) -> result16.StartTransaction:
        number = await self.insert("StartTransaction", payload)
        return result16.StartTransaction(transaction_id=number, id_tag_info=IdTagInfo(status="Accepted"))

    @on("MeterValues")  # type: ignore[untyped-decorator]
    async def meter_values(self, **payload: Any) -> result16.MeterValues:
        await self.insert("MeterValues", payload)
        return result16.MeterValues()

    @on("StopTransaction")  # type: ignore[untyped-decorator]
    async def stop_transaction(self, **payload: Any) -> result16.StopTransaction:
        await self.insert("StopTransaction", payload)
        return result16.StopTransaction(id_tag_info=IdTagInfo(status="Accepted"))


class Station201(ChargePoint201):  # type: ignore[misc]
    """Handlers of OCPP 2.0.1."""

    pool: asyncpg.Pool[asyncpg.Record]
    heartbeats_stored: bool

    async def insert(self, action: str, payload: dict[str, Any]) -> None:
        await self.pool.fetchval(INSERT, self.id, action, json.dumps(payload, default=str))

    @on("BootNotification")  # type: ignore[untyped-decorator]
    async def boot(self, **payload: Any) -> result201.BootNotification:
        await self.insert("BootNotification", payload)
        return result201.BootNotification(current_time=now(), interval=300, status="Accepted")

    @on("Heartbeat")  # type: ignore[untyped-decorator]
    async def heartbeat(self, **payload: Any) -> result201.Heartbeat:
        if self.heartbeats_stored:
            await self.insert("Heartbeat", payload)
        return result201.Heartbeat(current_time=now())

    @on("Authorize")  # type: ignore[untyped-decorator]
    async def authorize(self, **payload: Any) -> result201.Authorize:
        await self.insert("Authorize", payload)
        return result201.Authorize(id_token_info=IdTokenInfoType(status="Accepted"))

    @on("TransactionEvent")  # type: ignore[untyped-decorator]
    async def transaction_event(self, **payload: Any) -> result201.TransactionEvent:
        await self.insert("TransactionEvent", payload)
        accepted = IdTokenInfoType(status="Accepted") if "id_token" in payload else None
        return result201.TransactionEvent(id_token_info=accepted)


VERSIONS: dict[str, Any] = {"ocpp1.6": Station16, "ocpp2.0.1": Station201}


async def run(dsn: str, port: int, heartbeats_stored: bool) -> None:
    """Serves until the process is ended."""
    async with asyncpg.create_pool(dsn) as pool:
        await pool.execute(TABLE)

        async def connected(connection: ServerConnection) -> None:
            assert connection.request
            assert connection.subprotocol
            station = VERSIONS[connection.subprotocol](connection.request.path.rpartition("/")[2], connection)
            station.pool = pool
            station.heartbeats_stored = heartbeats_stored
            with suppress(ConnectionClosed):
                await station.start()

        async with serve(connected, "127.0.0.1", port, subprotocols=[Subprotocol(name) for name in VERSIONS]) as server:
            chosen = next(iter(server.sockets)).getsockname()[1]
            print(json.dumps({"event": "ready", "ocpp": f"ws://127.0.0.1:{chosen}/ocpp"}), flush=True)
            await server.serve_forever()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--heartbeats-unstored", action="store_true")
    given = parser.parse_args()
    asyncio.run(run(given.dsn, given.port, not given.heartbeats_unstored))
