"""Our SQL: named queries, reports, checks, migrations, and the pool of connections. All SQL text is in `db/`."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeAlias

import asyncpg

from csms.base.errors import CsmsError

# asyncpg comes without types; these names say in signatures what is meant.
Connection: TypeAlias = Any
"""An asyncpg connection, its own or a pool's."""
Record: TypeAlias = Any
"""An asyncpg record: `row["name"]` or `row[0]`."""
Pool: TypeAlias = Any
"""An asyncpg pool: `async with pool.acquire() as conn`."""

STATEMENTS_KEPT = 1_000
"""Prepared statements per connection: more than we have, so that none is ever planned twice."""

POOL_SIZE_MAX = 10

WRITER, STAFF, PROVIDER, DRIVER = "csms_writer", "csms_staff", "csms_provider", "csms_driver"
"""What a connection may do: the road and the worker, the operator's staff, a provider's staff, a driver."""

WRITE_S_MAX = 60
"""A batch that takes longer is on a connection whose other end is gone: connect again and tell it again."""

_NAME = re.compile(r"^-- name: ([a-z][a-z0-9_]*)$", re.MULTILINE)
_MIGRATION = re.compile(r"[0-9]{4}_[a-z0-9_]+\.sql")


TROUBLE = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database that is away, or does not have what is asked, raises; the last where a connection breaks midway."""


class MigrationRefused(CsmsError):
    """The stored schema and the migration files do not belong together."""


@dataclass(frozen=True, slots=True)
class Query:
    """One statement of `db/`, run on the connection that is given. Arguments stand for `$1`, `$2`, ..."""

    name: str
    text: str

    async def one(self, conn: Connection, *arguments: object) -> Record | None:
        """The first row, or None."""
        return await conn.fetchrow(self.text, *arguments)

    async def many(self, conn: Connection, *arguments: object) -> list[Record]:
        """Every row."""
        rows: list[Record] = await conn.fetch(self.text, *arguments)
        return rows

    async def value(self, conn: Connection, *arguments: object) -> Any:
        """The first column of the first row, or None."""
        return await conn.fetchval(self.text, *arguments)

    async def run(self, conn: Connection, *arguments: object) -> str:
        """Run it for its effect; answers PostgreSQL's word for it, such as `UPDATE 1`."""
        word: str = await conn.execute(self.text, *arguments)
        return word

    async def run_many(self, conn: Connection, rows: list[tuple[object, ...]]) -> None:
        """Run it once per row of arguments, in one round trip."""
        await conn.executemany(self.text, rows)


class _Queries:
    """`SQL.find_session` is the statement under `-- name: find_session` in `db/queries/*.sql`."""

    def __getattr__(self, name: str) -> Query:
        try:
            return queries()[name]
        except KeyError:
            raise AttributeError(f"no query is named {name} in {folder() / 'queries'}") from None


SQL = _Queries()


@cache
def folder() -> Path:
    """Where the SQL is: `csms/_db` in an installed wheel, `db` beside `csms` in a checkout."""
    packaged = Path(__file__).parent / "_db"
    return packaged if packaged.is_dir() else Path(__file__).parent.parent / "db"


@cache
def queries() -> Mapping[str, Query]:
    """Every named query of `db/queries/*.sql`, by name."""
    found: dict[str, Query] = {}
    for path in sorted((folder() / "queries").glob("*.sql")):
        head, *parts = _NAME.split(path.read_text("utf-8"))
        if head.strip(" \n") and not all(line.startswith("--") or not line for line in head.splitlines()):
            raise ValueError(f"{path.name} has a statement before its first name")
        for name, text in zip(parts[::2], parts[1::2], strict=True):
            if name in found:
                raise ValueError(f"two queries are named {name}, one of them in {path.name}")
            found[name] = Query(name, text.strip())
    return found


@cache
def reports() -> Mapping[str, Query]:
    """Every report: one statement per file of `db/reports`, by the file's name."""
    return _one_per_file("reports")


@cache
def checks() -> Mapping[str, Query]:
    """Every invariant: one statement per file of `db/checks`, which returns rows only when something is wrong."""
    return _one_per_file("checks")


def _one_per_file(name: str) -> dict[str, Query]:
    return {path.stem: Query(path.stem, path.read_text("utf-8")) for path in sorted((folder() / name).glob("*.sql"))}


async def check(conn: Connection, invariants: Mapping[str, Query] | None = None) -> dict[str, list[Record]]:
    """What is wrong: the rows of each check (of `db/checks`) that returned any. All see the same instant."""
    wrong: dict[str, list[Record]] = {}
    async with conn.transaction(isolation="repeatable_read", readonly=True):
        for name, query in (checks() if invariants is None else invariants).items():
            if rows := await query.many(conn):
                wrong[name] = rows
    return wrong


async def migrate(conn: Connection, migrations: Path | None = None) -> list[str]:
    """
    Bring the schema up to date and name the migrations that were applied now.

    Each file of `db/migrations` runs whole, once, in its own transaction; who comes second waits
    for the first. Raises MigrationRefused, having changed nothing more, when an applied file was
    edited or a new file stands before an applied one. Migrations that this version does not know
    are left alone: tables change in two releases, so an older program may still run.
    """
    files = sorted((migrations or folder() / "migrations").glob("*.sql"))
    for path in files:
        if not _MIGRATION.fullmatch(path.name):
            raise MigrationRefused(f"{path.name} is not named like 0001_tables.sql")
    await SQL.lock_migrations.run(conn)
    try:
        await SQL.create_migration_table.run(conn)
        applied = {row["name"]: row["checksum"] for row in await SQL.applied_migrations.many(conn)}
        new = [path.stem for path in files if await _apply(conn, path, applied)]
        await SQL.notice_cluster.run(conn)
        return new
    finally:
        if not conn.is_closed():
            await SQL.unlock_migrations.run(conn)


async def _apply(conn: Connection, path: Path, applied: Mapping[str, str]) -> bool:
    """Apply one migration unless it was applied before."""
    text = path.read_text("utf-8")
    checksum = hashlib.sha256(text.encode()).hexdigest()
    if path.stem in applied:
        if applied[path.stem] != checksum:
            raise MigrationRefused(
                f"migration {path.stem} was edited after it had been applied; put its text back and add a new migration"
            )
        return False
    if applied and path.stem < max(applied):
        raise MigrationRefused(
            f"migration {path.stem} stands before {max(applied)}, which is applied; give it a later number"
        )
    async with conn.transaction():
        await conn.execute(text)
        await SQL.record_migration.run(conn, path.stem, checksum)
    return True


async def connect(dsn: str, name: str = "csms") -> Connection:
    """One connection of its own, made as those of `pool`."""
    return await asyncpg.connect(dsn, **_options(name))


async def writer(dsn: str) -> Connection:
    """
    The road's own connection.

    Its few statements look rows up by key, so one plan fits every batch: planning a batch's load
    anew took five times as long as running it. What a plan must never do, scan, it is told not to.
    """
    options = _options("csms road", WRITER) | {"command_timeout": WRITE_S_MAX}
    options["server_settings"] |= {
        "plan_cache_mode": "force_generic_plan",
        "enable_seqscan": "off",
        "enable_hashjoin": "off",
        "enable_mergejoin": "off",
    }
    return await asyncpg.connect(dsn, **options)


async def pool(dsn: str, *, size: int = POOL_SIZE_MAX, name: str = "csms", role: str | None = None) -> Pool:
    """
    Connections to `dsn`, at most `size`, opened as they are needed and kept; each works as `role`.

    Prepared statements are kept per connection: without that every call is planned again, at
    seven times the cost. `name` is what a DBA sees in `pg_stat_activity`.
    """
    return await asyncpg.create_pool(
        dsn, min_size=1, max_size=size, max_inactive_connection_lifetime=0, **_options(name, role)
    )


def _options(name: str, role: str | None = None) -> dict[str, Any]:
    settings = {"application_name": name, "timezone": "UTC", "jit": "off"}
    return {
        "statement_cache_size": STATEMENTS_KEPT,
        "max_cached_statement_lifetime": 0,
        "max_cacheable_statement_size": 0,  # no limit: the longest are those that take longest to plan
        "server_settings": settings if role is None else {**settings, "role": role},
    }
