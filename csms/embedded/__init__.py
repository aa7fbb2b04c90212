"""
PostgreSQL 18 in a data folder, started as our own child when it does not run yet.

    async with await Embedded.start(folder) as server:
        pool = await db.pool(server.dsn)

Who comes second joins the server that runs. It is the first one's child and ends with it, so who
wants it longer calls `keep_running`. Killing any part at any moment is safe: commits are durable,
and the next start recovers, however long that takes.
"""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from types import MappingProxyType, TracebackType
from urllib.parse import quote

import asyncpg

from csms.embedded import process
from csms.embedded.home import EmbeddedError, Home, prepare

__all__ = ["DATABASE", "SETTINGS", "Embedded", "EmbeddedError"]

DATABASE = "csms"
"""The name of the database, and of the role that owns it."""

SETTINGS: Mapping[str, str] = MappingProxyType(
    {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "shared_buffers": "256MB",
        "wal_buffers": "16MB",
        "max_wal_size": "4GB",
        "checkpoint_timeout": "15min",
        "max_connections": "100",
        "random_page_cost": "1.1",
        "jit": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "listen_addresses": "",
        "cluster_name": DATABASE,
    }
)
"""Durable, and fast for many small commits. Only a socket in a private folder listens."""

POLL_S = 0.01
WATCH_S = 0.2
CREATE_S_MAX = 120
START_ATTEMPTS_MAX = 5
STOP_S_MAX = 60
"""A fast stop writes a checkpoint; after this long it becomes an immediate one, and the next start recovers."""
LOG_LINES_SHOWN = 12
NOT_YET = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.TooManyConnectionsError,
)
"""What connecting says while a server starts, recovers, leaves or is full."""


class Embedded:
    """A running server. `dsn` connects to its database `csms`; `owned` tells whether it is our child."""

    def __init__(self, home: Home, settings: Mapping[str, str]) -> None:
        self.home = home
        self.settings: Mapping[str, str] = {
            **SETTINGS,
            **settings,
            "unix_socket_directories": str(home.sockets),
            "port": "5432",
        }
        self._child: subprocess.Popen[bytes] | None = None

    @classmethod
    async def start(cls, data_dir: Path, *, settings: Mapping[str, str] = MappingProxyType({})) -> Embedded:
        """
        Join the server that runs in `data_dir`, or start one there; answers when it takes connections.

        `settings` are PostgreSQL's, by name, and count only if this call starts the server. Call
        it from the main thread: the server ends with the thread that started it. Raises
        EmbeddedError with the reason and the end of the server's log.
        """
        server = cls(prepare(data_dir), settings)
        await server._start()
        return server

    @property
    def dsn(self) -> str:
        """Where asyncpg and psql connect."""
        return self.dsn_of(DATABASE)

    def dsn_of(self, database: str) -> str:
        """The same server, another database."""
        return f"postgresql://{DATABASE}@/{quote(database)}?host={quote(str(self.home.sockets), safe='')}"

    @property
    def owned(self) -> bool:
        """Whether the server is our child, and ends with us."""
        return self._child is not None

    @property
    def pid(self) -> int | None:
        """The postmaster's pid, None when it does not run."""
        if self._child is not None:
            return self._child.pid if self._child.poll() is None else None
        return process.postmaster(self.home.cluster)

    async def stop(self) -> None:
        """End our child by PostgreSQL's fast shutdown; a server that we joined is left alone."""
        child, self._child = self._child, None
        if child is None:
            return
        for number, wait_s in ((signal.SIGINT, STOP_S_MAX), (signal.SIGQUIT, STOP_S_MAX), (signal.SIGKILL, STOP_S_MAX)):
            if child.poll() is None:
                child.send_signal(number)
            if await _ended(child, wait_s):
                return
        raise EmbeddedError(f"the server {child.pid} does not end")

    async def keep_running(self) -> None:
        """
        Start the server again whenever it ends, until cancelled.

        For long-lived programs: a killed postmaster is back within a second, and a program that
        had joined another's server takes it over when that one leaves.
        """
        while True:
            await asyncio.sleep(WATCH_S)
            if self.pid is None:
                self._child = None
                await self._start()

    async def __aenter__(self) -> Embedded:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        await self.stop()

    async def _start(self) -> None:
        attempts = 0
        while attempts < START_ATTEMPTS_MAX:
            async with _locked(self.home.folder / "start.lock"):
                if process.postmaster(self.home.cluster) is None:
                    await self._create()
                    process.clear_remains(self.home.cluster, self.home.sockets)
                    self._child = process.spawn(self.home, self.settings)
                    attempts += 1
                if await self._ready():
                    return
            self._child = None
            await asyncio.sleep(WATCH_S)
        raise EmbeddedError(f"PostgreSQL does not start in {self.home.folder}; the end of its log:\n{self._log_end()}")

    async def _create(self) -> None:
        """Make the cluster, once: beside its place first, so that a half-made one is never taken for it."""
        if self.home.cluster.exists():
            return
        unfinished = self.home.folder / "postgres.new"
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(mode=0o700)
        making = process.initdb(self.home, unfinished, DATABASE)
        await _ended(making, CREATE_S_MAX)
        assert making.stderr is not None
        with making.stderr as said:
            if making.returncode != 0:
                making.kill()
                raise EmbeddedError(
                    f"initdb failed in {self.home.folder}:\n{said.read().decode(errors='replace').strip()}"
                )
        unfinished.rename(self.home.cluster)
        folder = os.open(self.home.folder, os.O_RDONLY)
        os.fsync(folder)  # what is committed later must not be lost with the folder's entry
        os.close(folder)

    async def _ready(self) -> bool:
        """Wait, through any recovery, until the database is there; False when the server ended instead."""
        while self.pid is not None:
            try:
                conn = await asyncpg.connect(self.dsn_of("postgres"), timeout=5)
            except NOT_YET:
                await asyncio.sleep(POLL_S)
                continue
            try:
                if await conn.fetchval("select 1 from pg_database where datname = $1", DATABASE) is None:
                    await conn.execute(f"create database {DATABASE}")
                await conn.close(timeout=5)
            except NOT_YET:
                conn.terminate()
                continue
            return True
        return False

    def _log_end(self) -> str:
        try:
            lines = self.home.log.read_text("utf-8", "replace").splitlines()
        except OSError as error:
            return str(error)
        return "\n".join(lines[-LOG_LINES_SHOWN:])


async def _ended(child: subprocess.Popen[bytes], wait_s: float) -> bool:
    """Whether `child` ends within `wait_s` seconds."""
    loop = asyncio.get_running_loop()
    until = loop.time() + wait_s
    while child.poll() is None:
        if loop.time() > until:
            return False
        await asyncio.sleep(POLL_S)
    return True


@asynccontextmanager
async def _locked(path: Path) -> AsyncIterator[None]:
    """Hold the lock file; it is let go by the kernel when its holder dies."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                await asyncio.sleep(POLL_S)
                continue
            break
        yield
    finally:
        os.close(handle)
