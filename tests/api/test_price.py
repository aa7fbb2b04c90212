"""The preview of prices answers the published cases exactly, or says what it does not support yet."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

from tests.api.conftest import Rest

VECTORS = Path(__file__).parent.parent / "data" / "ocpi_tariff_vectors.json"
SUPPORTED_MIN = 12


async def test_published_cases_are_priced_exactly_or_refused_with_the_reason(rest: Rest) -> None:
    priced = 0
    for case in json.loads(VECTORS.read_text())["vectors"]:
        reply = await rest.ask("POST", "/tariffs/price", json={"tariff": case["tariff"], "session": case["session"]})
        if reply.status == 422:
            assert "not supported yet" in reply.json["detail"], (case["name"], reply.json)
            continue
        assert reply.status == 200, (case["name"], reply.body)
        told, expected = reply.json, case["expected"]
        for side in ("excl_vat", "incl_vat"):
            same(told["exact"][f"total_{side}"], expected[f"total_{side}"])
            for dimension, amounts in expected["per_dimension"].items():
                same(told["exact"]["per_dimension"][dimension][side], amounts[side])
            if side in expected.get("rounded", {}):
                assert told[f"total_{side}"] == expected["rounded"][side], case["name"]
        priced += 1
    assert priced >= SUPPORTED_MIN, priced


def same(told: str | None, expected: str | None) -> None:
    """Both unknown, or the same number to 18 decimals."""
    assert (told and Decimal(told)) == (expected and Decimal(expected))
