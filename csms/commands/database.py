"""`csms migrate` and `csms check`, and the connection that commands work on."""

from __future__ import annotations

import argparse
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from csms import db
from csms.base.errors import Refused
from csms.config import Settings
from csms.embedded import Embedded, home

FOUND = 1
"""The exit status of a check that found something."""


@asynccontextmanager
async def connected(settings: Settings, create: bool = True) -> AsyncIterator[db.Connection]:
    """
    A connection to the system's database; without `create`, Refused where there is none yet.

    The embedded server is joined where it runs, or runs for as long as the command does; its schema
    is brought up to date first. A database of yours is changed by `csms migrate` and `csms serve` only.
    """
    if settings.database_url is not None:
        conn = await db.connect(settings.database_url.get_secret_value(), "csms command")
        try:
            yield conn
        finally:
            await conn.close()
        return
    if not create and not home.has_database(settings.data_dir):
        raise Refused(f"there is no database in {settings.data_dir}; --data-dir names another folder")
    async with await Embedded.start(settings.data_dir) as server:
        conn = await db.connect(server.dsn, "csms command")
        try:
            await db.migrate(conn)
            yield conn
        finally:
            await conn.close()


async def migrate(settings: Settings, arguments: argparse.Namespace) -> int:
    """Bring the schema up to date; says what was applied."""
    if settings.database_url is None:
        async with await Embedded.start(settings.data_dir) as server:
            applied = await _migrated(server.dsn)
    else:
        applied = await _migrated(settings.database_url.get_secret_value())
    if arguments.json:
        print(json.dumps({"applied": applied}))
    else:
        print("\n".join(f"applied {name}" for name in applied) or "the schema is up to date")
    return 0


async def check(settings: Settings, arguments: argparse.Namespace) -> int:
    """Run every invariant of db/checks; prints the rows of those that do not hold."""
    async with connected(settings, create=False) as conn:
        wrong = {name: [dict(row) for row in rows] for name, rows in (await db.check(conn)).items()}
    if arguments.json:
        print(json.dumps({"checks": sorted(db.checks()), "wrong": wrong}, default=str))
    else:
        for name, rows in wrong.items():
            print(f"{name}: {len(rows)} wrong")
            for row in rows:
                print("  " + ", ".join(f"{column} {value}" for column, value in row.items()))
        print(f"{len(db.checks()) - len(wrong)} of {len(db.checks())} checks hold")
    return FOUND if wrong else 0


async def _migrated(dsn: str) -> list[str]:
    conn = await db.connect(dsn, "csms migrate")
    try:
        return await db.migrate(conn)
    finally:
        await conn.close()
