"""The servers that are compared: stock, raw limit and ours, each a process of its own on one PostgreSQL."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import asyncpg

from csms.embedded import Embedded
from tests.benchmarks import seed

READY_S_MAX = 60.0
STOP_S_MAX = 20.0
NAMES = ("stock", "raw", "ours")


class Broken(Exception):
    """A partner did not start, died, or its books are wrong: the run is worth nothing."""


class Server:
    """A partner that runs. `url` is where stations connect, without their id."""

    def __init__(self, name: str, command: list[str], environment: dict[str, str], log: Path) -> None:
        self.name = name
        self.log = log
        self.began = time.monotonic()
        with log.open("ab") as errors:
            self.process = subprocess.Popen(
                [sys.executable, *command],
                stdout=subprocess.PIPE,
                stderr=errors,
                env={**os.environ, **environment},
                text=True,
            )
        ready = self._ready()
        self.ready_s = time.monotonic() - self.began
        self.http: str = ready.get("http", "")
        self.url: str = ready["ocpp"].rstrip("/").removesuffix("/ocpp") + "/ocpp"
        threading.Thread(target=self._drain, daemon=True).start()

    def _ready(self) -> dict[str, str]:
        """The ready line, which a partner prints when it can take stations."""
        assert self.process.stdout
        alarm = threading.Timer(READY_S_MAX, self.process.kill)
        alarm.start()
        try:
            for line in self.process.stdout:
                if line.startswith("{") and json.loads(line).get("event") == "ready":
                    ready: dict[str, str] = json.loads(line)
                    return ready
        finally:
            alarm.cancel()
        raise Broken(f"{self.name} did not get ready:\n{self.log_end()}")

    def _drain(self) -> None:
        assert self.process.stdout
        for _ in self.process.stdout:
            pass

    def log_end(self) -> str:
        """The last lines that the partner wrote to its log."""
        return "\n".join(self.log.read_text("utf-8", "replace").splitlines()[-15:])

    def stop(self) -> None:
        """Ends the process as an operator would, by SIGTERM."""
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(STOP_S_MAX)
            except subprocess.TimeoutExpired:
                self.process.kill()
        self.process.wait()


class Bench:
    """One PostgreSQL with a database per partner, and the partners on it. Everything ends with the block."""

    def __init__(self, stations: int) -> None:
        self.stations = stations
        self.running: list[Server] = []

    def __enter__(self) -> Bench:
        self.folder = tempfile.TemporaryDirectory(prefix="csms-bench-", ignore_cleanup_errors=True)
        self.path = Path(self.folder.name)
        self.path.chmod(0o755)  # the server's unprivileged user has to reach its data
        self.postgres = asyncio.run(Embedded.start(self.path / "postgres"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        for server in self.running:
            server.stop()
        asyncio.run(self.postgres.stop())
        self.folder.cleanup()

    def start(self, name: str, database: str | None = None) -> Server:
        """Starts partner `name` on a new database of its own, `bench_NAME` unless another is named."""
        database = database or f"bench_{name}"
        dsn = self.postgres.dsn_of(database)
        asyncio.run(self._create(database))
        server = STARTS[name](self, dsn, self.path / f"{database}.log")
        self.running.append(server)
        return server

    def stop(self, server: Server) -> None:
        self.running.remove(server)
        server.stop()

    async def _create(self, database: str) -> None:
        connection = await asyncpg.connect(self.postgres.dsn)
        await connection.execute(f'create database "{database}"')
        await connection.close()


def csms(*words: str) -> list[str]:
    """The command line of `csms`, without the interpreter."""
    return ["-m", "csms.cli", *words]


def _start_stock(bench: Bench, dsn: str, log: Path) -> Server:
    return Server("stock", ["-m", "tests.benchmarks.stock", "--dsn", dsn], {}, log)


def _start_raw(bench: Bench, dsn: str, log: Path) -> Server:
    return Server("raw", ["-m", "tests.benchmarks.raw_limit", "--dsn", dsn], {}, log)


def _start_ours(bench: Bench, dsn: str, log: Path) -> Server:
    environment = {"CSMS_DATABASE_URL": dsn}
    migrated = subprocess.run(
        [sys.executable, *csms("migrate")],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    if migrated.returncode:
        raise Broken(f"csms migrate: {migrated.stdout}{migrated.stderr}")
    asyncio.run(seed.fill(dsn, bench.stations))
    ports = ["--ocpp-port", "0", "--http-port", "0", "--data-dir", str(bench.path / "ours")]
    return Server("ours", csms("serve", *ports), environment, log)


STARTS: dict[str, Callable[[Bench, str, Path], Server]] = {
    "stock": _start_stock,
    "raw": _start_raw,
    "ours": _start_ours,
}
