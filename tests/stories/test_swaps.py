"""Battery packs rented, ridden and exchanged: the same town on each version leaves the same rows (R01 to X08)."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import DsnOf
from tests.stories.lived import left_behind, live, on_each_version

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


async def test_one_swap_script_told_twice_and_with_an_unknown_pack_leaves_the_same_rows_on_each_version(
    dsn_of: DsnOf, template: str, tmp_path: Path
) -> None:
    lived = await on_each_version(dsn_of, template, tmp_path, ROWS, "swap", RIDERS, "--faults", "repeat=2")
    assert all(said["swaps"] > 0 and said["given_back"] > 0 for said, _ in lived)
    first, *others = [rows for _, rows in lived]
    assert {"completed", "returned"} <= {row[1] for row in first["swaps"]}
    assert len(first["bills"]) == len([row for row in first["rentals"] if row[0] in ("closed", "cancelled")])
    assert any(row[7] for row in first["rentals"] if row[0] == "closed")
    for other in others:
        for name, rows in first.items():
            assert other[name] == rows, name


async def test_a_town_with_lost_doubled_and_reordered_frames_leaves_clean_books(dsn: str, tmp_path: Path) -> None:
    said = live(tmp_path, dsn, "swap", "all", RIDERS, "--faults", "repeat=2,lose=0.02,reorder=0.2", "--seed", "3")
    rows = await left_behind(dsn, ROWS)
    assert said["swaps"] > 0
    assert not [row for row in rows["bills"] if row[3] < 0]
    assert not [row for row in rows["slots"] if row[4] is not None]
