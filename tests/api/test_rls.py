"""The database keeps what is another's, also where the application forgets to ask: row-level security and roles."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import quote

import asyncpg
import pytest

from csms import db
from tests.api.two_providers import Things, two_providers

OPERATORS = {"installation", "migration", "signing_key", "audit_head"}
"""Tables with no party's data. Only the operator's roles read them."""

ROLES = {"csms_provider", "csms_driver"}


@asynccontextmanager
async def acting(conn: db.Connection, role: str, provider: str = "", driver: str = "") -> AsyncIterator[None]:
    """A transaction as the interface makes it, of which nothing stays."""
    change = conn.transaction()
    await change.start()
    try:
        await db.SQL.act_as.run(conn, role, provider, driver, "client-test")
        yield
    finally:
        await change.rollback()


@pytest.fixture
async def both(conn: db.Connection, dsn: str) -> tuple[Things, Things]:
    """Provider P's things, and another's."""
    return await two_providers(conn, dsn)


async def test_every_table_is_guarded_or_no_partys(conn: db.Connection) -> None:
    rows = await conn.fetch("""
        select c.oid, c.relname, c.relrowsecurity and c.relforcerowsecurity as forced,
            exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'ours') as ours
        from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p') and not c.relispartition""")
    unguarded = {row["relname"] for row in rows if not (row["forced"] and row["ours"])}
    assert unguarded == OPERATORS, "a migration that adds a table calls guard() for it"
    for role in ROLES:
        for name in OPERATORS:
            assert not await conn.fetchval("select has_table_privilege($1, $2, 'select')", role, name), (role, name)


async def test_partitions_views_and_functions_are_no_way_round(conn: db.Connection) -> None:
    await conn.execute("select ensure_readings('2026-11-20')")
    readable = await conn.fetch("""
        select c.relname from pg_class c, unnest(array['csms_provider', 'csms_driver']) role
        where c.relispartition and has_table_privilege(role, c.oid, 'select')""")
    own_rights = await conn.fetch("""
        select c.relname from pg_class c
        where c.relnamespace = 'public'::regnamespace
        and (c.relkind = 'm'
            or c.relkind = 'v' and not coalesce('security_invoker=true' = any (c.reloptions), false))""")
    public = await conn.fetch("""
        select p.oid::regprocedure::text as name from pg_proc p
        where p.pronamespace = 'public'::regnamespace
        and (p.proacl is null or exists (select from aclexplode(p.proacl) a where a.grantee = 0))""")
    loose = await conn.fetch("""
        select p.oid::regprocedure::text as name from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef
        and not exists (select from unnest(p.proconfig) setting where setting like 'search_path=%, pg_temp')""")
    assert (list(readable), list(own_rights), list(public), list(loose)) == ([], [], [], [])


async def test_no_role_goes_round_the_policies(conn: db.Connection) -> None:
    rows = await conn.fetch(
        "select rolname, rolsuper, rolbypassrls, rolcanlogin from pg_roles where rolname ~ '^csms_'"
    )
    assert {row["rolname"] for row in rows} == {"csms_owner", "csms_writer", "csms_staff", *ROLES}
    assert not any(row["rolsuper"] or row["rolbypassrls"] or row["rolcanlogin"] for row in rows)
    others = await conn.fetchval("""
        select count(*) from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v')
        and pg_get_userbyid(c.relowner) <> 'csms_owner'""")
    assert others == 0


async def test_a_query_that_forgets_the_provider_finds_nothing_foreign(
    conn: db.Connection, both: tuple[Things, Things]
) -> None:
    tables = [
        row["relname"]
        for row in await conn.fetch("""
            select c.relname from pg_class c
            where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v') and not c.relispartition
            and has_table_privilege('csms_provider', c.oid, 'select')""")
    ]
    ids = {*both[1].named.values(), both[1].running}
    seen = 0
    async with acting(conn, "csms_provider", provider="P"):
        for table in tables:
            for row in await conn.fetch(f"select t::text as text from {table} t"):
                assert not [id_ for id_ in ids if id_ in row["text"]] and "foreign" not in row["text"], (table, row)
                seen += 1
    assert seen > 20


async def test_without_a_provider_there_are_no_rows(conn: db.Connection, both: tuple[Things, Things]) -> None:
    for role in ROLES:
        async with acting(conn, role):
            for table in ("station", "session", "bill", "transfer", "posting", "driver", "guarded_account", "site"):
                assert await conn.fetchval(f"select count(*) from {table}") == 0, (role, table)


@pytest.mark.parametrize(
    "statement",
    [
        "update station set strict = true where id = 'foreign-s'",
        "delete from connector where station_id = 'foreign-s'",
        "update site set name = 'mine' where id = 'foreign-site'",
        "update meter_key set curve = 'x' where station_id = 'foreign-s'",
    ],
)
async def test_a_forgotten_condition_changes_no_row_of_another(
    conn: db.Connection, both: tuple[Things, Things], statement: str
) -> None:
    async with acting(conn, "csms_provider", provider="P"):
        assert (await conn.execute(statement)).endswith(" 0")


@pytest.mark.parametrize(
    "statement",
    [
        "insert into site values ('s', 'foreign-p', 'n', 'UTC', now())",
        "update station set provider_id = 'foreign-p' where id = 'S1'",
        "insert into connector (station_id, number, kind) values ('foreign-s', 9, 'outlet')",
        "update bill set total_minor = 0",
        "update session set fee_minor = 0",
        "update provider_terms set operator_bp = 0",
        "update provider set psp_accounts = '{}'",
        "update remittance set state = 'paid'",
        "insert into transfer (posting_id, seq, debit, credit, asset, amount) values (gen_random_uuid(), 1, 'bank',"
        " 'provider:P:payable', 'KRW', 1)",
        "select post('{}', '{}')",
        "delete from reading",
        "update audit_event set client = 'x'",
        "select * from installation",
        "select * from signing_key",
        "update guarded_account set balance = 10",
    ],
)
async def test_a_provider_may_not_write_money_secrets_or_for_others(
    conn: db.Connection, both: tuple[Things, Things], statement: str
) -> None:
    async with acting(conn, "csms_provider", provider="P"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute(statement)


async def test_the_operators_roles_change_no_ledger_either(conn: db.Connection, both: tuple[Things, Things]) -> None:
    for role in ("csms_staff", "csms_writer"):
        for statement in (
            "update guarded_account set balance = 0",
            "delete from transfer",
            "insert into posting (id, key, kind, ref, event_at) values (gen_random_uuid(), 'k', 'k', 'r', now())",
            "update bill set total_minor = 0",
            "delete from audit_event",
            "update audit_head set n = 0",
        ):
            async with acting(conn, role):
                with pytest.raises(asyncpg.PostgresError) as caught:
                    await conn.execute(statement)
                assert caught.value.sqlstate == "42501", (role, statement)
    async with acting(conn, "csms_staff"):
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("update session set state = 'completed'")


async def test_a_driver_sees_the_rows_of_that_driver(conn: db.Connection, both: tuple[Things, Things]) -> None:
    async with acting(conn, "csms_driver", driver="ann"):
        for table, column in (
            ("driver", "id"),
            ("token", "driver_id"),
            ("session", "driver_id"),
            ("bill", "driver_id"),
        ):
            assert {row[0] for row in await conn.fetch(f"select {column} from {table}")} == {"ann"}, table
        accounts = {row[0] for row in await conn.fetch("select address from guarded_account where balance > 0")}
        assert accounts == {"driver:ann:balance", f"session:{both[0].running}:held"}
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await conn.execute("update driver set status = 'active'")


async def test_a_user_who_may_make_no_roles_is_told_what_an_administrator_runs(
    conn: db.Connection, empty_dsn: str
) -> None:
    database = empty_dsn.partition("?")[0].rpartition("/")[2]
    user = f"plain_{database}"
    await conn.execute(f"create role {user} login password 'x'")
    roles = ", ".join(["csms_owner", "csms_writer", "csms_staff", *sorted(ROLES)])
    try:
        await conn.execute(f"alter database {database} owner to {user}")
        plain = await asyncpg.connect(empty_dsn.replace("csms@", f"{user}:{quote('x')}@", 1))
        try:
            with pytest.raises(asyncpg.InsufficientPrivilegeError) as refused:
                await db.migrate(plain)
            assert "grant csms_owner to" in str(refused.value) and user in str(refused.value)
            assert not await plain.fetchval("select exists (select from migration where name = '0011_access')")
            said = str(refused.value.hint).partition(": ")[2]
            await conn.execute(said)
            assert "0011_access" in await db.migrate(plain)
            await plain.execute("set role csms_writer")
            assert await plain.fetchval("select count(*) from station") == 0
        finally:
            await plain.close()
        assert not await conn.fetchval("select rolsuper from pg_roles where rolname = $1", user)
    finally:
        owner = await asyncpg.connect(empty_dsn)
        await owner.execute(f"reassign owned by {user} to current_user; drop owned by {user}")
        await owner.close()
        await conn.execute(f"revoke {roles} from {user}; alter database {database} owner to current_user")
        await conn.execute(f"drop role {user}")
