"""What a batch of cabinets' reports is loaded by: keys alone, whatever the planner knew of the tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from csms import db

BIG = {"item", "door", "door_grant", "rental", "asset_report", "connector"}
TYPES = (
    "text[], text[], uuid[], uuid[], text[], text[], bytea[], text[], integer[], text[], text[], bigint[], uuid[], "
    "text[], text[], integer[], text[], text[], date[], text[], timestamptz[]"
)
"""The parameters of `load_assets`."""


async def test_no_look_up_of_a_batch_passes_over_a_whole_index(dsn: str) -> None:
    """Planned while its tables are empty, as on a new system, where to the planner all indexes cost the same."""
    writer = await db.writer(dsn)
    try:
        await writer.execute(f"prepare load ({TYPES}) as {db.SQL.load_assets.text}")
        nothing = ", ".join(["'{}'"] * len(TYPES.split(",")))
        [plan] = json.loads(await writer.fetchval(f"explain (format json) execute load ({nothing})"))
    finally:
        await writer.close()
    reads = [node for node in nodes(plan["Plan"]) if node.get("Relation Name") in BIG]
    assert len(reads) > 15
    for node in reads:
        if node["Node Type"] == "Bitmap Heap Scan":
            [node] = node["Plans"]
        assert node.get("Index Cond"), node
        found = node["Index Name"]
        assert found != "asset_report_arrived" and found != "door_grant_station", node


def nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A node of a plan and all below it."""
    yield node
    for child in node.get("Plans", ()):
        yield from nodes(child)
