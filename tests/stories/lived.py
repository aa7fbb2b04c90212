"""A scenario of `charge-points-sim` lived through against a system of its own, once per version, and what it leaves."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import asyncpg

from charge_points_sim.devices import DEVICES
from csms import db
from tests.conftest import DsnOf
from tests.stories.conftest import spawn
from tests.stories.world import PASSWORD

BIN = Path(sys.executable).parent
START = "2026-01-05T06:00:00Z"

Rows = dict[str, list[tuple[Any, ...]]]


def live(folder: Path, dsn: str, scenario: str, version: str, count: str, *more: str) -> dict[str, Any]:
    """The scenario, at full speed; what the simulator says of it. Nothing must have gone wrong."""
    environment = {"CSMS_DATABASE_URL": dsn}
    serve = [str(BIN / "csms"), "serve", "--data-dir", str(folder), "--ocpp-port", "0", "--http-port", "0"]
    process, system = spawn(folder, "csms", [*serve, "--clock", f"{START}@max"], environment)
    try:
        add = [str(BIN / "csms"), "staff", "add-client", "--scope", "admin", "--json"]
        client = json.loads(subprocess.check_output(add, text=True, env={**os.environ, **environment}))
        secret = f"{client['client_id']}:{client['client_secret']}"
        sim = [str(BIN / "charge-points-sim"), "--scenario", scenario, "--url", system["ocpp"], "--version", version]
        sim += ["--provision", system["http"], "--count", count, "--speed", "max", "--password", PASSWORD, "--json"]
        said = subprocess.run(
            [*sim, *more], text=True, capture_output=True, timeout=180,
            env={**os.environ, "CHARGE_POINTS_SIM_CLIENT": secret}, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout + said.stderr
        told: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
        assert not told["unexpected"], told
        return told
    finally:
        process.terminate()
        process.wait(30)


async def left_behind(dsn: str, queries: Mapping[str, str]) -> Rows:
    """The rows of these queries, in no order; every invariant of the database holds."""
    conn = await asyncpg.connect(dsn)
    try:
        assert await db.check(conn) == {}
        return {
            name: sorted((tuple(row) for row in await conn.fetch(query)), key=repr) for name, query in queries.items()
        }
    finally:
        await conn.close()


async def on_each_version(
    dsn_of: DsnOf, template: str, folder: Path, queries: Mapping[str, str], scenario: str, count: str, *more: str
) -> list[tuple[dict[str, Any], Rows]]:
    """What the same scenario tells and leaves on each version, each on a database of its own."""
    found = []
    for number, version in enumerate(DEVICES):
        name = f"csms_{scenario}_{os.getpid()}_{number}"
        admin = await asyncpg.connect(dsn_of("postgres"))
        await admin.execute(f"create database {name} template {template} strategy file_copy")
        place = folder / version
        place.mkdir()
        said = live(place, dsn_of(name), scenario, version, count, *more)
        found.append((said, await left_behind(dsn_of(name), queries)))
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()
    return found
