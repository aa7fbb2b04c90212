"""Vouchers asked for, bought and used through stations leave the same rows on each version, told twice (V01 to V06)."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import DsnOf
from tests.stories.lived import left_behind, live, on_each_version

VEHICLES = "3"
"""One charges by night, one at weekends, one at work."""

ROWS = {
    "vouchers": """
        select driver_id, product_id, product_version, unit, total, used, price_minor, released_minor, uses, state
        from voucher""",
    "uses": """
        select v.driver_id, v.product_id, s.station_id, s.meter_start_wh, u.units, u.minor, u.value_minor
        from voucher_use u join voucher v on v.id = u.voucher_id join session s on s.id = u.session_id""",
    "bills": """
        select station_id, driver_id, started_at, energy_wh, total_minor, vat_minor, operator_minor, provider_minor
        from bill""",
    "inquiries": """
        select i.driver_id, i.station_id, i.currency, i.tendency_version is null, i.confidence, i.sessions
        from voucher_inquiry i""",
    "balances": """
        select address, asset, balance from account_balance
        where balance <> 0 and address not like 'voucher:%'""",
    "exceptions": "select kind, count(*) from exception group by kind",
}
"""Everything that vouchers leave behind, without the ids and instants in which two equal runs differ, in no order."""


async def test_vehicles_that_say_all_twice_leave_the_same_vouchers_uses_and_bills_on_each_version(
    dsn_of: DsnOf, template: str, tmp_path: Path
) -> None:
    lived = await on_each_version(dsn_of, template, tmp_path, ROWS, "voucher", VEHICLES, "--faults", "repeat=2")
    (said, first), *others = lived
    assert [row[1] for row in sorted(first["vouchers"])] == ["sim-nights", "sim-weekends", "sim-fifty"]
    assert len(first["inquiries"]) == said["inquiries"] == 3 and not any(row[3] for row in first["inquiries"])
    assert sum(row[4] for row in first["uses"]) == said["used_wh"] == sum(row[5] for row in first["vouchers"])
    assert len(first["bills"]) == said["sessions"]
    assert said["delivered"] == said["bought"]
    assert not first["exceptions"]
    for other, rows in others:
        told = ("bought", "delivered", "offered", "paid_minor", "saved_minor")
        assert {name: other[name] for name in told} == {name: said[name] for name in told}
        for name, wanted in first.items():
            assert rows[name] == wanted, name


async def test_lost_doubled_and_reordered_frames_buy_each_voucher_once_and_leave_clean_books(
    dsn: str, tmp_path: Path
) -> None:
    said = live(tmp_path, dsn, "voucher", "all", VEHICLES, "--faults", "repeat=2,lose=0.02,reorder=0.2", "--seed", "3")
    rows = await left_behind(dsn, ROWS)
    assert sum(said["bought"].values()) == len(rows["vouchers"]) == 3
    assert sum(row[4] for row in rows["uses"]) == said["used_wh"] > 0
    assert all(row[4] >= 0 for row in rows["bills"])
