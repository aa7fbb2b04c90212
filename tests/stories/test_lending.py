"""Portable chargers lent by cabinets: the same street on each version leaves the same rows (L01 to L12)."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import DsnOf
from tests.stories.lived import left_behind, live, on_each_version

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


async def test_the_same_street_leaves_the_same_rows_on_each_version(
    dsn_of: DsnOf, template: str, tmp_path: Path
) -> None:
    lived = await on_each_version(dsn_of, template, tmp_path, ROWS, "locker", VISITS)
    assert all(said["rentals"] == int(VISITS) for said, _ in lived)
    first, *others = [rows for _, rows in lived]
    assert len(first["rentals"]) == int(VISITS) and {row[0] for row in first["rentals"]} == {"closed"}
    assert all(row[5] > 0 for row in first["bills"]) and any(row[9] > 0 for row in first["bills"])
    for other in others:
        for name, rows in first.items():
            assert other[name] == rows, name


async def test_a_street_with_lost_and_doubled_frames_and_jams_leaves_clean_books(dsn: str, tmp_path: Path) -> None:
    faults = ["--faults", "repeat=2,lose=0.05,reorder=0.2,jam=0.1", "--seed", "3"]
    said = live(tmp_path, dsn, "locker", "all", VISITS, *faults)
    rows = await left_behind(dsn, ROWS)
    assert said["rentals"] == int(VISITS), said
    states = [row[0] for row in rows["rentals"]]
    assert states.count("closed") == int(VISITS) and set(states) <= {"closed", "cancelled", "provisional"}
    assert not [row for row in rows["bills"] if row[5] < 0]
