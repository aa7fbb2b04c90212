"""
The raw limit: the least that can read our load's frames, store a reading durably, and answer.

It knows the prepared frames of `frames.py` by their bytes, decodes nothing, checks nobody, and writes the row of our
table `reading` with group commit on one connection: while one commit runs, the next batch collects. Everything but
readings is answered from memory. Run as `python -m tests.benchmarks.raw_limit --dsn DSN`.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import zlib
from datetime import datetime
from typing import Any, cast
from uuid import uuid4

import asyncpg
import uvloop

from tests.benchmarks import frames

TABLE = """
drop table if exists raw_reading;
create table raw_reading (
  day date not null,
  session_id uuid not null,
  at timestamptz not null,
  digest integer not null,
  register_wh bigint,
  power_w integer,
  primary key (day, session_id, at, digest)
);
"""
INSERT = """
insert into raw_reading (day, session_id, at, digest, register_wh, power_w)
select * from unnest($1::date[], $2::uuid[], $3::timestamptz[], $4::integer[], $5::bigint[], $6::integer[])
on conflict (day, session_id, at, digest) do nothing
"""

_AT, _WH = "2026-11-20T15:04:05.123Z", 87_654_321
_ANSWERS = {
    b"Boot": b'{"currentTime":"2026-11-20T15:04:05Z","interval":300,"status":"Accepted"}',
    b"Hear": b'{"currentTime":"2026-11-20T15:04:05Z"}',
    b"Star": b'{"transactionId":1,"idTagInfo":{"status":"Accepted"}}',
    b"Stop": b"{}",
    b"Tran": b"{}",
}
_AUTHORIZED = {
    "ocpp1.6": b'{"idTagInfo":{"status":"Accepted"}}',
    "ocpp2.0.1": b'{"idTokenInfo":{"status":"Accepted"}}',
}
_VERSION_OF = {frames.SUBPROTOCOLS[version]: version for version in ("1.6", "2.0.1")}


class Sample:
    """Where the fields of a version's reading stand in its frame, learnt from one frame with known values."""

    def __init__(self, version: str) -> None:
        speech = frames.SPEECHES[version]("", "0" * 8, 0)
        if version == "1.6":
            speech.ref = b"%-10d" % 0
        else:
            speech.start(0, _AT.encode(), _WH)
        frame = speech.meter(0, _AT.encode(), _WH)
        self.length = len(frame)
        self.at = frame.rindex(_AT.encode())
        self.register = frame.index(str(_WH).encode())
        self.power = frame.index(b"7200")


class Store:
    """Collects rows while a commit runs, writes them as one batch, then lets their answers go."""

    def __init__(self, connection: asyncpg.Connection[asyncpg.Record]) -> None:
        self.connection = connection
        self.rows: list[tuple[object, ...]] = []
        self.answers: list[tuple[asyncio.Transport, bytes]] = []
        self.wake = asyncio.Event()

    async def run(self) -> None:
        statement = await self.connection.prepare(INSERT)
        while True:
            await self.wake.wait()
            self.wake.clear()
            rows, answers = self.rows, self.answers
            self.rows, self.answers = [], []
            await statement.fetch(*zip(*rows, strict=True))
            for transport, answer in answers:
                transport.write(answer)


class Connection(asyncio.Protocol):
    """One station."""

    def __init__(self, store: Store, samples: dict[str, Sample]) -> None:
        self.store = store
        self.samples = samples
        self.subprotocol = ""
        self.session_id = uuid4()
        self.day = datetime.now().astimezone().date()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        if not self.subprotocol:
            self.shake_hands(data)
        elif (len(data) == self.sample.length and b"Updated" in data) or b"MeterValues" in data:
            sample, store = self.sample, self.store
            at = datetime.fromisoformat(data[sample.at : sample.at + 24].decode())
            register = int(data[sample.register : sample.register + 8])
            power = int(data[sample.power : sample.power + 4])
            digest = zlib.crc32(data) - 0x80000000
            store.rows.append((self.day, self.session_id, at, digest, register, power))
            store.answers.append((self.transport, b'\x81\x13[3,"%b",{}]' % data[12:22]))
            store.wake.set()
        else:
            head = 6 if data[1] & 0x7F < 126 else 8
            action = data[head + 17 : head + 21]
            answer = _AUTHORIZED[self.subprotocol] if action == b"Auth" else _ANSWERS[action]
            text = b'[3,"%b",%b]' % (data[head + 4 : head + 14], answer)
            self.transport.write(bytes((0x81, len(text))) + text)

    def shake_hands(self, data: bytes) -> None:
        self.subprotocol = data.partition(b"Sec-WebSocket-Protocol: ")[2].partition(b"\r\n")[0].decode()
        self.sample = self.samples[self.subprotocol]
        self.transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: %b\r\nSec-WebSocket-Protocol: %b\r\n\r\n"
            % (frames.HANDSHAKE_ACCEPT, self.subprotocol.encode())
        )


async def run(dsn: str, port: int) -> None:
    """Serves until the process is ended."""
    connection: Any = await asyncpg.connect(dsn)
    await connection.execute(TABLE)
    store = Store(connection)
    samples = {subprotocol: Sample(version) for subprotocol, version in _VERSION_OF.items()}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(store, samples), "127.0.0.1", port)
    chosen = server.sockets[0].getsockname()[1]
    print(json.dumps({"event": "ready", "ocpp": f"ws://127.0.0.1:{chosen}/ocpp"}), flush=True)
    await store.run()


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--port", type=int, default=0)
    given = parser.parse_args()
    uvloop.run(run(given.dsn, given.port))
