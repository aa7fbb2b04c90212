"""Every statement of `db/` is prepared against the migrated schema: a wrong column fails here, in seconds."""

from __future__ import annotations

import pytest

from csms import db

STATEMENTS = [
    *(("query", query) for query in db.queries().values()),
    *(("report", query) for query in db.reports().values()),
    *(("check", query) for query in db.checks().values()),
]


async def test_every_statement_fits_the_migrated_schema(conn: db.Connection) -> None:
    wrong = {}
    for kind, query in STATEMENTS:
        try:
            await conn.prepare(query.text)
        except db.asyncpg.PostgresError as error:
            wrong[f"{kind} {query.name}"] = str(error)
    assert wrong == {}


@pytest.mark.parametrize(("kind", "query"), STATEMENTS, ids=[f"{kind}-{query.name}" for kind, query in STATEMENTS])
def test_a_statement_says_in_a_sentence_what_it_is_for(kind: str, query: db.Query) -> None:
    assert query.text.lstrip().startswith("-- "), f"{kind} {query.name} has no sentence above it"
