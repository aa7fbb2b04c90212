"""A real PostgreSQL for every test that asks: one server per test process, one fresh database per test."""

from __future__ import annotations

import asyncio
import itertools
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import asyncpg
import pytest

from csms import db
from csms.embedded import Embedded

TEST_SETTINGS = {"fsync": "off", "full_page_writes": "off", "shared_buffers": "64MB", "max_wal_size": "1GB"}
"""Tests kill processes, not machines: what the kernel holds is safe enough, and much faster."""

MEMORY_FREE_MIN = 4 << 30

DsnOf = Callable[[str], str]

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def dsn_of() -> Iterator[DsnOf]:
    """The test server: answers the DSN of a database by name. `CSMS_DATABASE_URL`, when set, is that server."""
    if given := os.environ.get("CSMS_DATABASE_URL"):
        yield lambda name: urlunsplit(urlsplit(given)._replace(path=f"/{name}"))
        return
    folder = Path(tempfile.mkdtemp(prefix="csms-test-", dir=_fast_folder()))
    try:
        server = asyncio.run(Embedded.start(folder, settings=TEST_SETTINGS))
        yield server.dsn_of
        asyncio.run(server.stop())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def template(dsn_of: DsnOf) -> Iterator[str]:
    """The name of a migrated, otherwise empty database that is cloned for each test."""
    name = f"csms_template_{os.getpid()}"

    async def create() -> None:
        await _administer(dsn_of, f"create database {name}")
        conn = await asyncpg.connect(dsn_of(name))
        await db.migrate(conn)
        await conn.close()

    asyncio.run(create())
    yield name
    asyncio.run(_administer(dsn_of, f"drop database {name} with (force)"))


@pytest.fixture
def empty_dsn(dsn_of: DsnOf) -> Iterator[str]:
    """The DSN of a fresh database without any schema."""
    name = f"csms_empty_{os.getpid()}_{next(_numbers)}"
    asyncio.run(_administer(dsn_of, f"create database {name}"))
    yield dsn_of(name)
    asyncio.run(_administer(dsn_of, f"drop database {name} with (force)"))


@pytest.fixture
async def dsn(dsn_of: DsnOf, template: str) -> AsyncIterator[str]:
    """The DSN of a fresh migrated database, this test's own."""
    name = f"csms_test_{os.getpid()}_{next(_numbers)}"
    await _administer(dsn_of, f"create database {name} template {template} strategy file_copy")
    yield dsn_of(name)
    await _administer(dsn_of, f"drop database {name} with (force)")


@pytest.fixture
async def pool(dsn: str) -> AsyncIterator[db.Pool]:
    """Connections to this test's database, made as in the running system."""
    pool = await db.pool(dsn, name="test")
    yield pool
    await asyncio.wait_for(pool.close(), 10)


@pytest.fixture
async def conn(dsn: str) -> AsyncIterator[db.Connection]:
    """One connection to this test's database."""
    conn = await asyncpg.connect(dsn, server_settings={"timezone": "UTC"})
    yield conn
    await conn.close()


def _fast_folder() -> str:
    """In memory where there is room: most of what a test waits for is its database being cloned."""
    memory = "/dev/shm"
    there = Path(memory).is_dir() and os.access(memory, os.W_OK)
    return memory if there and shutil.disk_usage(memory).free >= MEMORY_FREE_MIN else "/tmp"


async def _administer(dsn_of: DsnOf, statement: str) -> None:
    """Run a statement beside the databases of tests."""
    conn = await asyncpg.connect(dsn_of("postgres"))
    try:
        await conn.execute(statement)
    finally:
        await conn.close()
