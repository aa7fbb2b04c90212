"""Providers, sites, stations and tariffs through the running interface."""

from __future__ import annotations

from csms.domain.commands import EndConnection
from csms.domain.credential import canonical_key, opens
from tests.api.conftest import Rest

PROVIDER = {"id": "north", "name": "North", "terms": {"operator_bp": 250}, "psp_accounts": {"social": "seller-n"}}
STATION = {"id": "CP:1", "kind": "charger", "provider": "north", "connectors": [{"number": 1, "max_power_w": 22000}]}
TARIFF = {
    "country_code": "KR",
    "party_id": "CSM",
    "id": "flat-300",
    "currency": "KRW",
    "tax_included": "YES",
    "elements": [{"price_components": [{"type": "ENERGY", "price": 300.25, "vat": 10, "step_size": 1}]}],
    "last_updated": "2026-01-01T00:00:00Z",
}


async def test_a_provider_is_added_shown_and_given_new_terms(rest: Rest) -> None:
    added = await rest.post("/providers", PROVIDER)
    assert added["terms"] == {
        "version": 1, "operator_bp": 250, "operator_fixed_minor": 0, "operator_min_minor": 0,
        "operator_max_minor": None,
    }  # fmt: skip
    changed = await rest.ask("PATCH", "/providers/north", json={"terms": {"operator_bp": 500}})
    assert changed.json["terms"]["version"] == 2 and changed.json["name"] == "North"
    assert await rest.get("/providers/north") == changed.json
    assert (await rest.ask("POST", "/providers", json=PROVIDER)).status == 409
    backwards = {"terms": {"operator_bp": 0, "operator_min_minor": 9, "operator_max_minor": 3}}
    assert (await rest.ask("PATCH", "/providers/north", json=backwards)).status == 422


async def test_a_generated_password_is_told_once_and_only_its_seal_is_kept(rest: Rest) -> None:
    await rest.post("/providers", PROVIDER)
    added = await rest.post("/stations", STATION)
    assert len(bytes.fromhex(added["password"])) == 20
    shown = await rest.get("/stations/CP:1")
    assert shown["password"] is None and shown["has_password"] and shown["connectors"][0]["max_power_w"] == 22000
    async with rest.pool.acquire() as conn:
        pepper = await conn.fetchval("select pepper from installation")
        sealed = await conn.fetchval("select credential from station")
    assert opens(pepper, sealed, added["password"].encode())
    assert opens(pepper, sealed, canonical_key(added["password"].encode()))
    assert not opens(pepper, sealed, b"something else")


async def test_a_station_is_changed_and_its_security_profile_never_goes_down(rest: Rest) -> None:
    await rest.post("/providers", PROVIDER)
    await rest.post("/stations", {**STATION, "password": "a-password-of-ours", "security_profile": 2})
    again = await rest.ask("PATCH", "/stations/CP:1", json={"password": None, "strict": True})
    assert len(again.json["password"]) == 40 and again.json["strict"] is True
    down = await rest.ask("PATCH", "/stations/CP:1", json={"security_profile": 1})
    assert down.status == 422 and down.json["errors"][0]["pointer"] == "/security_profile"
    more = await rest.ask("PATCH", "/stations/CP:1", json={"connectors": [{"number": 2}]})
    assert [connector["number"] for connector in more.json["connectors"]] == [1, 2]
    assert more.json["password"] is None and more.json["security_profile"] == 2


async def test_what_does_not_belong_together_is_refused_with_its_place(rest: Rest) -> None:
    await rest.post("/providers", PROVIDER)
    await rest.post("/providers", {"id": "south", "name": "South"})
    await rest.post("/sites", {"id": "yard", "provider": "south", "name": "Yard", "time_zone": "Asia/Seoul"})
    for change, pointer in (
        ({"provider": "nobody"}, "/provider"),
        ({"site": "yard"}, "/site"),
        ({"site": "nowhere"}, "/site"),
        ({"tariff": "none"}, "/tariff"),
        ({"connectors": [{"number": 1}, {"number": 1}]}, "/connectors/1/number"),
        ({"connectors": [{"number": 1, "kind": "slot"}]}, "/connectors/0/kind"),
        ({"connectors": [{"number": 0}]}, "/connectors/0/number"),
        ({"password": "short"}, "/password"),
    ):
        reply = await rest.ask("POST", "/stations", json={**STATION, **change})
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer), change
    assert (await rest.get("/stations"))["items"] == []
    zone = await rest.ask(
        "POST", "/sites", json={"id": "x", "provider": "south", "name": "X", "time_zone": "Mars/Base"}
    )
    assert zone.status == 422


async def test_a_station_with_history_stays(seeded: Rest) -> None:
    assert (await seeded.ask("DELETE", "/stations/S2")).status == 204
    assert (await seeded.ask("GET", "/stations/S2")).status == 404
    assert (await seeded.ask("DELETE", "/stations/S1")).status == 409
    assert (await seeded.ask("GET", "/stations/S1")).status == 200


async def test_lists_go_on_where_they_stopped(rest: Rest) -> None:
    await rest.post("/providers", PROVIDER)
    for number in range(5):
        await rest.post("/stations", {"id": f"S{number}", "provider": "north"})
    seen, cursor = [], ""
    while True:
        page = await rest.get(f"/stations?limit=2{cursor}")
        seen += [station["id"] for station in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen == ["S0", "S1", "S2", "S3", "S4"]
    assert (await rest.get("/stations?provider=south"))["items"] == []


async def test_a_tariff_keeps_its_numbers_and_its_versions(rest: Rest) -> None:
    first = await rest.ask("POST", "/tariffs", json=TARIFF)
    assert (first.status, first.json["version"]) == (201, 1)
    assert first.json["hold"] == {"amount": "50000", "currency": "KRW", "minor": 50000}
    assert b"300.25" in first.body
    same = await rest.ask("POST", "/tariffs", json=TARIFF)
    assert (same.status, same.json["version"]) == (200, 1)
    held = await rest.post("/tariffs", {**TARIFF, "hold": {"amount": "9000", "currency": "KRW"}})
    assert (held["version"], held["hold"]["minor"]) == (2, 9000)
    assert (await rest.get("/tariffs/flat-300"))["version"] == 2
    assert (await rest.get("/tariffs/flat-300?version=1"))["hold"]["minor"] == 50000


async def test_a_wrong_tariff_is_refused_with_the_place(rest: Rest) -> None:
    for change, pointer in (
        ({"currency": "XXX"}, "/currency"),
        (
            {"elements": [{"price_components": [{"type": "ENERGY", "price": -1}]}]},
            "/elements/0/price_components/0/price",
        ),
        ({"colour": "red"}, "/colour"),
        ({"hold": {"amount": "5", "currency": "EUR"}}, "/hold/currency"),
        ({"hold": {"amount": "0", "currency": "KRW"}}, "/hold/amount"),
    ):
        reply = await rest.ask("POST", "/tariffs", json={**TARIFF, **change})
        assert (reply.status, reply.json["errors"][0]["pointer"]) == (422, pointer), reply.json


async def test_a_tariff_of_one_provider_does_not_price_anothers_station(rest: Rest) -> None:
    await rest.post("/providers", PROVIDER)
    await rest.post("/providers", {"id": "south", "name": "South"})
    await rest.post("/stations", STATION)
    await rest.post("/tariffs", {**TARIFF, "provider": "south"})
    await rest.post("/tariffs", {**TARIFF, "id": "open"})
    assert (await rest.ask("PUT", "/stations/CP:1/tariff", json={"tariff": "flat-300"})).status == 422
    assert (await rest.ask("PUT", "/stations/CP:1/tariff", json={"tariff": "open"})).json["tariff"] == "open"
    assert (await rest.ask("PUT", "/stations/CP:1/tariff", json={"tariff": None})).json["tariff"] is None
    taken = await rest.ask("POST", "/tariffs", json={**TARIFF, "provider": "north"})
    assert taken.status == 422 and taken.json["errors"][0]["pointer"] == "/provider"


async def test_a_price_is_previewed_exactly(rest: Rest) -> None:
    session = {
        "time_zone": "Asia/Seoul",
        "start_date_time": "2026-11-20T01:00:00Z",
        "end_date_time": "2026-11-20T02:00:00Z",
        "charging_periods": [
            {"start_date_time": "2026-11-20T01:00:00Z", "dimensions": [{"type": "ENERGY", "volume": "12.335"}]}
        ],
    }
    told = await rest.post("/tariffs/price", {"tariff": TARIFF, "session": session})
    assert told["total_incl_vat"] == "3704" and told["exact"]["total_incl_vat"] == "3703.58375"
    assert told["per_dimension"]["ENERGY"]["incl_vat"] == "3704"
    wrong = {**session, "end_date_time": "2026-11-19T02:00:00Z"}
    reply = await rest.ask("POST", "/tariffs/price", json={"tariff": TARIFF, "session": wrong})
    assert reply.status == 422 and reply.json["errors"][0]["pointer"] == "/session/end_date_time"


async def test_a_new_password_or_removal_ends_the_connection_that_the_old_one_opened(seeded: Rest) -> None:
    got = seeded.connect("BARE")
    await seeded.ask("PATCH", "/stations/BARE", json={"strict": True})
    await seeded.ask("PATCH", "/stations/BARE", json={"password": "short"})
    assert got == [], "nothing of it changed, or it was refused"
    assert (await seeded.ask("PATCH", "/stations/BARE", json={"password": None})).status == 200
    assert (await seeded.ask("DELETE", "/stations/BARE")).status == 204
    assert got == [EndConnection("this station has a new password"), EndConnection("this station was removed")]
