"""Named SQL and migrations."""

from __future__ import annotations

import asyncio
from pathlib import Path

import asyncpg
import pytest

from csms import db
from csms.db import SQL
from tests.conftest import DsnOf


async def test_every_migration_is_recorded_with_its_checksum(conn: db.Connection) -> None:
    recorded = [row["name"] for row in await SQL.applied_migrations.many(conn)]
    assert recorded == sorted(path.stem for path in (db.folder() / "migrations").glob("*.sql"))
    assert await db.migrate(conn) == []


async def test_an_applied_migration_that_was_edited_is_refused(conn: db.Connection, tmp_path: Path) -> None:
    migrations = _own_migrations(tmp_path, {"9001_first.sql": "create table first (id int)"})
    assert await db.migrate(conn, migrations) == ["9001_first"]
    (migrations / "9001_first.sql").write_text("create table first (id bigint)")
    (migrations / "9002_second.sql").write_text("create table second (id int)")
    with pytest.raises(db.MigrationRefused, match="9001_first was edited"):
        await db.migrate(conn, migrations)
    assert await conn.fetchval("select to_regclass('second')") is None


async def test_a_failing_migration_leaves_nothing_and_can_be_mended(conn: db.Connection, tmp_path: Path) -> None:
    migrations = _own_migrations(tmp_path, {"9001_half.sql": "create table half (id int); select 1 / 0;"})
    with pytest.raises(asyncpg.DivisionByZeroError):
        await db.migrate(conn, migrations)
    assert await conn.fetchval("select to_regclass('half')") is None
    (migrations / "9001_half.sql").write_text("create table half (id int);")
    assert await db.migrate(conn, migrations) == ["9001_half"]


async def test_a_migration_may_not_be_slipped_in_before_an_applied_one(conn: db.Connection, tmp_path: Path) -> None:
    migrations = _own_migrations(tmp_path, {"9002_late.sql": "create table late (id int)"})
    await db.migrate(conn, migrations)
    (migrations / "9001_early.sql").write_text("create table early (id int)")
    with pytest.raises(db.MigrationRefused, match="9001_early stands before 9002_late"):
        await db.migrate(conn, migrations)


async def test_a_migration_with_a_wrong_name_is_refused(conn: db.Connection, tmp_path: Path) -> None:
    with pytest.raises(db.MigrationRefused, match=r"1\.sql"):
        await db.migrate(conn, _own_migrations(tmp_path, {"1.sql": "select 1"}))


async def test_programs_that_migrate_at_once_apply_each_file_once(dsn_of: DsnOf, dsn: str, tmp_path: Path) -> None:
    migrations = _own_migrations(tmp_path, {"9001_once.sql": "create table once (id int); select pg_sleep(0.05)"})
    conns = [await asyncpg.connect(dsn) for _ in range(4)]
    applied = await asyncio.gather(*(db.migrate(conn, migrations) for conn in conns))
    assert sorted(applied) == [[], [], [], ["9001_once"]]
    for conn in conns:
        await conn.close()


async def test_an_empty_system_has_nothing_wrong(conn: db.Connection) -> None:
    assert await db.check(conn) == {}


async def test_a_check_answers_the_rows_of_what_is_wrong_and_nothing_else(conn: db.Connection) -> None:
    invariants = {
        "fine": db.Query("fine", "select 1 as one where false"),
        "wrong": db.Query("wrong", "select 7 as account, -1 as balance"),
    }
    wrong = await db.check(conn, invariants)
    assert {name: [dict(row) for row in rows] for name, rows in wrong.items()} == {
        "wrong": [{"account": 7, "balance": -1}]
    }


def test_an_unknown_query_is_an_error_that_names_the_folder() -> None:
    with pytest.raises(AttributeError, match="no query is named find_nothing"):
        SQL.find_nothing  # noqa: B018 - looking it up is the act


async def test_a_query_answers_one_row_many_rows_or_a_value(conn: db.Connection) -> None:
    numbers = db.Query("numbers", "select n from generate_series(1, $1::int) n order by n")
    first = await numbers.one(conn, 3)
    assert first is not None and first["n"] == 1
    assert [row["n"] for row in await numbers.many(conn, 3)] == [1, 2, 3]
    assert await numbers.value(conn, 3) == 1
    assert await numbers.one(conn, 0) is None and await numbers.value(conn, 0) is None


async def test_a_pooled_connection_plans_a_statement_once(pool: db.Pool) -> None:
    query = db.Query("one", "select 1 as one where $1::int = $1")
    async with pool.acquire() as conn:
        for _ in range(3):
            await query.value(conn, 7)
        prepared = await conn.fetchval("select count(*) from pg_prepared_statements where statement = $1", query.text)
    assert prepared == 1


def _own_migrations(folder: Path, texts: dict[str, str]) -> Path:
    """A folder of migrations beside the real ones, which a test's database already has."""
    for name, text in texts.items():
        (folder / name).write_text(text)
    return folder
