"""Portable chargers lent by cabinets: the same street on each version leaves the same rows (L01 to L12)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import asyncpg

from charge_points_sim.devices import DEVICES
from csms import db
from tests.conftest import DsnOf
from tests.stories.conftest import spawn
from tests.stories.world import PASSWORD

BIN = Path(sys.executable).parent
VISITS = "5"
ROWS = {
    "rentals": """
        select r.state, r.station_id, r.unit, r.item, r.driver_id, r.proof, r.return_station, r.return_unit,
            extract(epoch from r.returned_at - r.taken_at)::int as held_s, s.hold_minor, s.fee_minor, r.flags
        from rental r join session s on s.id = r.id and s.station_id = r.station_id
        order by r.requested_at""",
    "sessions": """
        select station_id, connector, driver_id, site_id, host_bp, state, energy_wh, fee_minor, flags
        from session where use = 'charge' order by opened_at""",
    "bills": """
        select station_id, connector, driver_id, energy_wh, seconds, total_minor, vat_minor, operator_minor,
            provider_minor, host_minor
        from bill order by started_at, total_minor""",
    "items": "select code, state, place, station_id, unit, plugged, tag from item order by code",
    "doors": "select station_id, unit, state, mark_item, fault, reserved_for from door order by station_id, unit",
    "grants": "select station_id, unit, why, state, item, driver_id, proof from door_grant order by issued_at, unit",
    "reports": "select station_id, kind, unit, item, error, count(*) from asset_report group by 1, 2, 3, 4, 5"
    " order by 1, 2, 3, 4, 5",
    "balances": "select address, asset, balance from account_balance where balance <> 0"
    " and address not like '%:held' order by 1, 2",
    "exceptions": "select kind, count(*) from exception group by kind order by kind",
}
"""Everything that a street leaves behind, without the ids and instants in which two equal streets differ."""


def street(folder: Path, dsn: str, version: str, *more: str) -> dict[str, Any]:
    """A street of that version from morning to night against a system of its own; what the simulator says of it."""
    environment = {"CSMS_DATABASE_URL": dsn}
    serve = [str(BIN / "csms"), "serve", "--data-dir", str(folder), "--ocpp-port", "0", "--http-port", "0"]
    process, system = spawn(folder, "csms", [*serve, "--clock", "2026-01-05T06:00:00Z@max"], environment)
    try:
        add = [str(BIN / "csms"), "staff", "add-client", "--scope", "admin", "--json"]
        client = json.loads(subprocess.check_output(add, text=True, env={**os.environ, **environment}))
        secret = f"{client['client_id']}:{client['client_secret']}"
        sim = [str(BIN / "charge-points-sim"), "--scenario", "locker", "--url", system["ocpp"], "--version", version]
        sim += ["--provision", system["http"], "--count", VISITS, "--speed", "max", "--password", PASSWORD, "--json"]
        said = subprocess.run(
            [*sim, *more], text=True, capture_output=True, timeout=120,
            env={**os.environ, "CHARGE_POINTS_SIM_CLIENT": secret}, check=False,
        )  # fmt: skip
        assert said.returncode == 0, said.stdout + said.stderr
        told: dict[str, Any] = json.loads(said.stdout.splitlines()[-1])
        return told
    finally:
        process.terminate()
        process.wait(30)


async def left_behind(dsn: str) -> dict[str, list[tuple[Any, ...]]]:
    """The rows; every invariant of the database holds."""
    conn = await asyncpg.connect(dsn)
    try:
        assert await db.check(conn) == {}
        return {name: [tuple(row) for row in await conn.fetch(query)] for name, query in ROWS.items()}
    finally:
        await conn.close()


async def test_the_same_street_leaves_the_same_rows_on_each_version(
    dsn_of: DsnOf, template: str, tmp_path: Path
) -> None:
    found = {}
    for number, version in enumerate(DEVICES):
        name = f"csms_street_{os.getpid()}_{number}"
        admin = await asyncpg.connect(dsn_of("postgres"))
        await admin.execute(f"create database {name} template {template}")
        folder = tmp_path / version
        folder.mkdir()
        said = street(folder, dsn_of(name), version)
        assert said["rentals"] == int(VISITS) and not said["unexpected"], said
        found[version] = await left_behind(dsn_of(name))
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()
    first, *others = found.values()
    assert len(first["rentals"]) == int(VISITS) and {row[0] for row in first["rentals"]} == {"closed"}
    assert all(row[5] > 0 for row in first["bills"]) and any(row[9] > 0 for row in first["bills"])
    for other in others:
        for name, rows in first.items():
            assert other[name] == rows, name


async def test_a_street_with_lost_and_doubled_frames_and_jams_leaves_clean_books(dsn: str, tmp_path: Path) -> None:
    said = street(tmp_path, dsn, "all", "--faults", "repeat=2,lose=0.05,reorder=0.2,jam=0.1", "--seed", "3")
    rows = await left_behind(dsn)
    assert said["rentals"] == int(VISITS) and not said["unexpected"], said
    states = [row[0] for row in rows["rentals"]]
    assert states.count("closed") == int(VISITS) and set(states) <= {"closed", "cancelled", "provisional"}
    assert not [row for row in rows["bills"] if row[5] < 0]
