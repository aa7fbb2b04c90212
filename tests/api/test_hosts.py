"""Hosts of sites and tagged outlets through the running interface: who sets them, who sees what of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests import make
from tests.api.books import a_hosted_charge
from tests.api.conftest import Rest
from tests.api.pages import every

YARD = {"id": "yard", "provider": "P", "name": "Yard", "time_zone": "Asia/Seoul"}


async def test_a_site_is_hosted_by_nobody_until_somebody_says_so(seeded: Rest) -> None:
    added = await seeded.post("/sites", YARD)
    assert (added["host_bp"], added["host_name"]) == (0, None)
    hosted = await seeded.post("/sites", {**YARD, "id": "flat", "host_bp": 1_500, "host_name": "Kim"})
    assert (hosted["host_bp"], hosted["host_name"]) == (1_500, "Kim")
    assert [site["host_bp"] for site in (await seeded.get("/sites"))["items"]] == [1_500, 0, 0]


async def test_what_is_given_of_a_host_is_changed_and_the_rest_stays(seeded: Rest) -> None:
    changed = (await seeded.ask("PATCH", "/sites/site", json={"host_bp": 2_000, "host_name": "Kim"})).json
    assert (changed["host_bp"], changed["host_name"], changed["name"]) == (2_000, "Kim", "Site")
    assert (await seeded.ask("PATCH", "/sites/site", json={"host_name": "Lee"})).json["host_bp"] == 2_000
    nobody = (await seeded.ask("PATCH", "/sites/site", json={"host_bp": 0, "host_name": None})).json
    assert (nobody["host_bp"], nobody["host_name"]) == (0, None)
    assert await seeded.get("/sites/site") == nobody
    for wrong in ({"host_bp": 10_001}, {"host_bp": -1}, {"host_bp": None}, {"host_name": ""}, {"name": "X"}):
        assert (await seeded.ask("PATCH", "/sites/site", json=wrong)).status == 422, wrong
    assert (await seeded.ask("PATCH", "/sites/nowhere", json={"host_bp": 1})).status == 404


async def test_an_outlet_is_given_once_listed_by_tag_and_taken_away(seeded: Rest) -> None:
    for tag in ("B:2", "A@1", "C|3"):
        assert (await seeded.ask("PUT", f"/sites/site/outlets/{tag}")).status == 201
    again = await seeded.ask("PUT", "/sites/site/outlets/B:2")
    assert again.status == 200 and again.json["tag"] == "B:2" and again.json["site"] == "site"
    assert [outlet["tag"] for outlet in await every(seeded, "/sites/site/outlets", limit=2)] == ["A@1", "B:2", "C|3"]
    assert (await seeded.ask("DELETE", "/sites/site/outlets/B:2")).status == 204
    assert (await seeded.ask("DELETE", "/sites/site/outlets/B:2")).status == 404
    assert [outlet["tag"] for outlet in await every(seeded, "/sites/site/outlets")] == ["A@1", "C|3"]


async def test_whose_electricity_an_outlet_gives_changes_in_two_steps(seeded: Rest) -> None:
    await seeded.post("/sites", YARD)
    await seeded.ask("PUT", "/sites/site/outlets/T1")
    taken = await seeded.ask("PUT", "/sites/yard/outlets/T1")
    assert taken.status == 409 and "site site" in taken.json["detail"]
    assert (await seeded.ask("DELETE", "/sites/yard/outlets/T1")).status == 404
    await seeded.ask("DELETE", "/sites/site/outlets/T1")
    assert (await seeded.ask("PUT", "/sites/yard/outlets/T1")).json["site"] == "yard"


@pytest.mark.parametrize("tag", ["a b", "x" * 49, "%00", "a%2Fb"])
async def test_what_cannot_be_a_tag_is_not_found(seeded: Rest, tag: str) -> None:
    assert (await seeded.ask("PUT", f"/sites/site/outlets/{tag}")).status == 404
    assert (await seeded.ask("PUT", "/sites/nowhere/outlets/T1")).status == 404
    assert (await seeded.ask("GET", "/sites/nowhere/outlets")).status == 404


async def test_a_tag_of_another_provider_is_taken_and_nothing_more_is_told(seeded: Rest) -> None:
    await seeded.post("/providers", {"id": "north", "name": "North"})
    await seeded.post("/sites", {**YARD, "provider": "north"})
    await seeded.ask("PUT", "/sites/yard/outlets/T1")
    staff = {"Authorization": f"Bearer {await seeded.token('stations:write', 'stations:read', provider='P')}"}
    answers = {
        path: await seeded.raw(method, f"/api/v1/sites/{path}", headers=staff)
        for method, path in (
            ("PUT", "site/outlets/T1"), ("PUT", "site/outlets/T2"), ("PUT", "yard/outlets/T3"),
            ("GET", "yard/outlets"), ("DELETE", "yard/outlets/T1"),
        )
    }  # fmt: skip
    assert [reply.status for reply in answers.values()] == [409, 201, 404, 404, 404]
    assert b"yard" not in answers["site/outlets/T1"].body


async def test_setting_hosts_and_outlets_needs_its_scope_and_leaves_a_trail(seeded: Rest) -> None:
    reader = {"Authorization": f"Bearer {await seeded.token('stations:read')}"}
    assert (await seeded.raw("PUT", "/api/v1/sites/site/outlets/T1", headers=reader)).status == 403
    assert (await seeded.raw("PATCH", "/api/v1/sites/site", headers=reader, json={"host_bp": 1})).status == 403
    await seeded.ask("PUT", "/sites/site/outlets/T1")
    await seeded.ask("PATCH", "/sites/site", json={"host_bp": 1})
    told = [event for event in (await seeded.get("/audit"))["items"] if event["status"] in (200, 201)]
    assert {(event["method"], event["route"]) for event in told} >= {
        ("PUT", "/sites/{site}/outlets/{tag}"),
        ("PATCH", "/sites/{site}"),
    }


async def test_a_bill_tells_staff_the_hosts_share(rest: Rest, dsn: str) -> None:
    async with rest.pool.acquire() as conn:
        session = await a_hosted_charge(conn, dsn)
    bill = await rest.get(f"/sessions/{session}/bill")
    assert {name: bill[name]["minor"] for name in ("total", "operator_share", "host_share", "provider_share")} == {
        "total": 1_500, "operator_share": 150, "host_share": 300, "provider_share": 1_050,
    }  # fmt: skip
    account: Any = await rest.get("/ledger/accounts/site:site:payable")
    assert account["balances"][0]["minor"] == 300
    page = await rest.get("/reports/hosts")
    assert [(row["site"], row["host"], row["host_share"], row["host_paid"]) for row in page["items"]] == [
        ("site", "Kim", "300", "0")
    ]
    (link,) = page["links"]
    assert "site=site" in link and f"from={make.NOON.year}" in link
    linked = (await rest.get(link.removeprefix("/api/v1")))["items"]
    assert [row["host_share_minor"] for row in linked] == [300]
    assert (await rest.ask("GET", "/reports/hosts?by=site")).status == 422
