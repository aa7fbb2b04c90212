"""`csms settle`, run as a person runs it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from datetime import UTC, datetime
from typing import Any

from tests.flows.settling import bill, provider


async def settle(dsn: str, *arguments: str, status: int = 0) -> str:
    """What the command prints; it must end with `status` and never with a traceback."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "csms.cli", "settle", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env={**os.environ, "CSMS_DATABASE_URL": dsn},
    )  # fmt: skip
    out, _ = await asyncio.wait_for(process.communicate(), 60)
    assert "Traceback" not in out.decode()
    assert process.returncode == status, out.decode()
    return out.decode()


async def test_a_month_is_drafted_once_and_told_in_words_and_in_json(conn: Any, dsn: str) -> None:
    await provider(conn, zone="Asia/Seoul")
    await bill(conn, 900, datetime(2020, 1, 31, 14, 59, tzinfo=UTC), currency="EUR")
    told = json.loads(await settle(dsn, "--provider", "P", "--month", "2020-01", "--json"))
    assert (told["new"], told["state"], told["from"], told["to"]) == (True, "draft", "2020-01-01", "2020-02-01")
    assert told["sums"][0]["due"] == {"amount": "9.00", "currency": "EUR", "minor": 900}
    words = await settle(dsn, "--provider", "P", "--from", "2020-01-01", "--to", "2020-02-01")
    assert "was there already" in words and "amount due" in words and "9.00 EUR" in words
    assert f"/settlements/{told['settlement']}/approve" in words
    assert await conn.fetchval("select count(*) from statement") == 1
    assert await conn.fetchval("select object ->> 'settlement' from audit_event") == told["settlement"]


async def test_what_is_wrong_is_said_in_words(conn: Any, dsn: str) -> None:
    await provider(conn)
    for arguments, said in (
        (("--provider", "P"), "give --month"),
        (("--provider", "P", "--month", "2020-01", "--from", "2020-01-01"), "give --month"),
        (("--provider", "P", "--month", "January"), "is not a month"),
        (("--provider", "P", "--from", "x", "--to", "2020-01-02"), "is not a day"),
        (("--provider", "Q", "--month", "2020-01"), "there is no provider Q"),
    ):
        assert said in await settle(dsn, *arguments, status=2)
