"""How a driver uses stations through the running interface: shown with its labels, forgotten, opted out of."""

from __future__ import annotations

from typing import Any

from csms import db
from csms.worker.tendency import TendencyTimer
from tests.api.conftest import Rest
from tests.make import NOON, after, ended, metered, started


async def charged(rest: Rest, ref: str = "r1", hours: float = -2) -> None:
    """Ann charges 10 kWh in the hour that begins so many hours after noon, and the worker looks at it."""
    begin = 60 * hours
    await rest.tell(
        started(ref, at=after(begin)), metered(ref, begin + 30), ended(ref, begin + 60, received_at=after(begin + 60))
    )
    await TendencyTimer(rest.pool, lambda: NOON).sweep()


async def test_a_tendency_is_shown_with_its_labels_and_shares(seeded: Rest) -> None:
    await charged(seeded)
    found: dict[str, Any] = await seeded.get("/drivers/ann/tendency", scopes=("drivers:read",))
    assert (found["driver"], found["version"], found["confidence"]) == ("ann", 1, "low")
    assert (found["sessions"], found["weeks"], found["energy_wh"], found["week_mean_wh"]) == (1, 1, 10_000, 10_000)
    times = found["times"]
    assert times["days"] == ["weekday", "weekend"]
    assert times["hours"] == ["00-04", "04-08", "08-12", "12-16", "16-20", "20-24"]
    assert times["share_bp"] == [[0, 0, 0, 0, 10_000, 0], [0] * 6]  # a Friday from 19 h in Seoul
    assert found["session_energy_wh"] == {"q25": 10_000, "q50": 10_000, "q75": 10_000}
    assert found["stations"] == [{"name": "S1", "energy_wh": 10_000, "share_bp": 10_000}]
    assert [part["share_bp"] for part in found["powers"]] == [3_000, 7_000, 0]
    assert (found["station_entropy_bits"], found["cheap_share_bp"], found["swap_share_bp"]) == ("0.000", None, 0)


async def test_while_nothing_is_known_it_is_said_so(seeded: Rest) -> None:
    reply = await seeded.ask("GET", "/drivers/ann/tendency")
    assert reply.status == 404 and "nothing is known yet" in reply.json["detail"]
    assert (await seeded.ask("GET", "/drivers/nobody/tendency")).status == 404


async def test_what_is_deleted_begins_anew_with_the_next_session(seeded: Rest, conn: db.Connection) -> None:
    await charged(seeded)
    assert (await seeded.ask("DELETE", "/drivers/ann/tendency", scopes=("drivers:write",))).status == 204
    assert (await seeded.ask("GET", "/drivers/ann/tendency")).status == 404
    assert await conn.fetchval("select count(*) from usage_segment") == 0
    assert (await seeded.ask("DELETE", "/drivers/ann/tendency")).status == 204
    await seeded.tell(started("r2", at=after(60)), ended("r2", 120, received_at=after(120)))
    await TendencyTimer(seeded.pool, lambda: after(180)).sweep()
    assert (await seeded.get("/drivers/ann/tendency"))["sessions"] == 1


async def test_who_opts_out_is_not_looked_at_and_what_was_kept_is_gone(seeded: Rest, conn: db.Connection) -> None:
    await charged(seeded)
    chosen = await seeded.ask("PUT", "/drivers/ann/tendency/opt-out", json={"opt_out": True})
    assert (chosen.status, chosen.json) == (200, {"driver": "ann", "opt_out": True})
    await charged(seeded, "r2", hours=-1)
    reply = await seeded.ask("GET", "/drivers/ann/tendency")
    assert reply.status == 404 and "opted out" in reply.json["detail"]
    assert await conn.fetchval("select count(*) from usage_segment") == 0
    await seeded.ask("PUT", "/drivers/ann/tendency/opt-out", json={"opt_out": False})
    assert "nothing is known yet" in (await seeded.ask("GET", "/drivers/ann/tendency")).json["detail"]
    for wrong in ({}, {"opt_out": "yes"}, {"opt_out": None}):
        assert (await seeded.ask("PUT", "/drivers/ann/tendency/opt-out", json=wrong)).status == 422


async def test_scopes_for_reading_forget_nothing_and_a_providers_staff_see_nothing(seeded: Rest) -> None:
    await charged(seeded)
    assert (await seeded.ask("DELETE", "/drivers/ann/tendency", scopes=("drivers:read",))).status == 403
    of_provider = {"Authorization": f"Bearer {await seeded.token('drivers:read', 'drivers:write', provider='P')}"}
    for method in ("GET", "DELETE"):
        reply = await seeded.raw(method, "/api/v1/drivers/ann/tendency", headers=of_provider)
        assert reply.status == 404
    assert (await seeded.get("/drivers/ann/tendency"))["sessions"] == 1


async def test_sites_have_regions_and_drivers_a_class_of_vehicle(seeded: Rest) -> None:
    site = {"id": "north", "provider": "P", "name": "North", "time_zone": "UTC", "region": "seoul"}
    assert (await seeded.post("/sites", site))["region"] == "seoul"
    assert (await seeded.ask("PATCH", "/sites/site", json={"region": "busan"})).json["region"] == "busan"
    assert (await seeded.ask("PATCH", "/sites/site", json={"host_bp": 1})).json["region"] == "busan"
    assert (await seeded.ask("PATCH", "/sites/site", json={"region": None})).json["region"] is None
    assert (await seeded.post("/drivers", {"id": "car", "vehicle_class": "car"}))["vehicle_class"] == "car"
    assert (await seeded.ask("PATCH", "/drivers/car", json={"name": "N"})).json["vehicle_class"] == "car"
    assert (await seeded.ask("PATCH", "/drivers/car", json={"vehicle_class": None})).json["vehicle_class"] is None
