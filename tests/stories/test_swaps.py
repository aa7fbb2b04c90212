"""Battery packs rented, ridden and exchanged: the same town on each version leaves the same rows (R01 to X08)."""

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
RIDERS = "3"
"""Among three riders one brings a set of two, one charges at home, one hesitates, one brings a pack nobody knows."""

ROWS = {
    "swaps": """
        select station_id, state, driver_id, proof, wanted, units_in, packs_in, units_out, packs_out, flags, reason
        from swap""",
    "rentals": """
        select r.state, r.station_id, r.unit, r.item, r.driver_id, r.return_station, r.return_unit, r.battery_wh,
            (r.level_out).soc as soc_out, (r.level_in).soc as soc_in, s.hold_minor, s.fee_minor, s.drawn_minor, r.flags
        from rental r join session s on s.id = r.id and s.station_id = r.station_id""",
    "bills": """
        select station_id, connector, driver_id, total_minor, vat_minor, operator_minor, provider_minor
        from bill""",
    "items": "select code, state, place, station_id, unit from item",
    "packs": "select code, serial, capacity_wh, soh, source, quarantine from pack",
    "slots": "select station_id, unit, mark_item, fault, reserved_for from door",
    "grants": "select station_id, unit, why, state, item, driver_id from door_grant",
    "reports": "select station_id, kind, unit, item, error, count(*) from asset_report"
    " where kind like 'Battery.%' group by 1, 2, 3, 4, 5",
    "balances": "select address, asset, balance from account_balance where balance <> 0 and address not like '%:held'",
    "exceptions": "select kind, count(*) from exception group by kind",
}
"""
Everything that a town leaves behind, without the ids and instants in which two equal towns differ, in no order.

BatterySwap of 2.1 has no place for a pack's counters: what they say is no part of the comparison, what is billed is.
"""


def town(folder: Path, dsn: str, version: str, *more: str) -> dict[str, Any]:
    """Riders of that version, a day long, against a system of its own; what the simulator says of it."""
    environment = {"CSMS_DATABASE_URL": dsn}
    serve = [str(BIN / "csms"), "serve", "--data-dir", str(folder), "--ocpp-port", "0", "--http-port", "0"]
    process, system = spawn(folder, "csms", [*serve, "--clock", "2026-01-05T06:00:00Z@max"], environment)
    try:
        add = [str(BIN / "csms"), "staff", "add-client", "--scope", "admin", "--json"]
        client = json.loads(subprocess.check_output(add, text=True, env={**os.environ, **environment}))
        secret = f"{client['client_id']}:{client['client_secret']}"
        sim = [str(BIN / "charge-points-sim"), "--scenario", "swap", "--url", system["ocpp"], "--version", version]
        sim += ["--provision", system["http"], "--count", RIDERS, "--speed", "max", "--password", PASSWORD, "--json"]
        said = subprocess.run(
            [*sim, *more], text=True, capture_output=True, timeout=180,
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
        return {name: sorted((tuple(row) for row in await conn.fetch(query)), key=repr) for name, query in ROWS.items()}
    finally:
        await conn.close()


async def test_one_swap_script_told_twice_and_with_an_unknown_pack_leaves_the_same_rows_on_each_version(
    dsn_of: DsnOf, template: str, tmp_path: Path
) -> None:
    found = {}
    for number, version in enumerate(DEVICES):
        name = f"csms_town_{os.getpid()}_{number}"
        admin = await asyncpg.connect(dsn_of("postgres"))
        await admin.execute(f"create database {name} template {template}")
        folder = tmp_path / version
        folder.mkdir()
        said = town(folder, dsn_of(name), version, "--faults", "repeat=2")
        assert said["swaps"] > 0 and said["given_back"] > 0 and not said["unexpected"], said
        found[version] = await left_behind(dsn_of(name))
        await admin.execute(f"drop database {name} with (force)")
        await admin.close()
    first, *others = found.values()
    assert {"completed", "returned"} <= {row[1] for row in first["swaps"]}
    closed = [row for row in first["rentals"] if row[0] == "closed"]
    assert len(first["bills"]) == len([row for row in first["rentals"] if row[0] in ("closed", "cancelled")])
    assert any(row[7] for row in closed)
    for other in others:
        for name, rows in first.items():
            assert other[name] == rows, name


async def test_a_town_with_lost_doubled_and_reordered_frames_leaves_clean_books(dsn: str, tmp_path: Path) -> None:
    said = town(tmp_path, dsn, "all", "--faults", "repeat=2,lose=0.02,reorder=0.2", "--seed", "3")
    rows = await left_behind(dsn)
    assert said["swaps"] > 0 and not said["unexpected"], said
    assert not [row for row in rows["bills"] if row[3] < 0]
    assert not [row for row in rows["slots"] if row[4] is not None]
