"""Presence at cabinets: proven, a door is told to open; stale, far, reused or foreign, nothing is sent anywhere."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.domain import presence
from tests.api.lockers import HERE, NEAR, SECONDS, Street, code, nonce, place, street


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Street]:
    async with street(dsn, pool) as found:
        yield found


@pytest.mark.parametrize("proof", [code(), code(90), nonce(), nonce(age_s=119), place(), place(37.56685)])
async def test_a_proven_presence_has_one_door_told_to_open(town: Street, proof: Any) -> None:
    reply = await town.rent(proof=proof)
    assert reply.status == 201, reply.body
    assert reply.json["proof"] == next(iter(proof)) and await town.door_opens() == 1


@pytest.mark.parametrize(
    "proof",
    [
        code(180), code(-60), code(secret=b"x" * 32), {"totp": {"code": "00000000"}}, nonce(age_s=121), nonce(age_s=-6),
        nonce(station="C2"), place(37.5670), place(accuracy_m=31), place(at="2026-11-20T11:57:59Z"), None,
    ],
)  # fmt: skip
async def test_a_stale_far_or_foreign_proof_opens_nothing(town: Street, proof: Any) -> None:
    reply = await town.rent(proof=proof)
    assert reply.status == 403 and reply.json["error"] == "not_present", reply.body
    assert await town.door_opens() == 0 and await town.count("rental") == 0 and await town.count("presence_use") == 0


@pytest.mark.parametrize("proof", [code(), nonce(), place()])
async def test_a_proof_counts_once_and_its_repeat_is_the_same_rental(town: Street, proof: Any) -> None:
    first = await town.rent(key="k1", proof=proof)
    again = await town.rent(key="k1", proof=proof)
    assert (first.status, again.status) == (201, 201) and first.json["id"] == again.json["id"]
    reused = await town.rent(key="k2", proof=proof)
    changed = await town.rent(key="k1", proof=proof, connector=2)
    assert (reused.status, changed.status) == (403, 422)
    assert await town.door_opens() == 1 and await town.count("rental") == 1


@pytest.mark.parametrize("proof", [code(), nonce()])
async def test_a_proof_that_somebody_used_is_nobody_elses(town: Street, proof: Any) -> None:
    await town.post("psp:social:clearing", "driver:bob:balance", 90_000)
    replies = await asyncio.gather(town.rent("ann", proof=proof), town.rent("bob", proof=proof))
    assert sorted(reply.status for reply in replies) == [201, 403]
    assert await town.door_opens() == 1


async def test_a_proof_that_led_to_nothing_may_be_shown_again(town: Street) -> None:
    refused = await town.rent(connector=3, key="k1")
    assert refused.status == 409 and refused.json["error"] == "UnitEmpty"
    assert (await town.rent(connector=1, key="k1")).status == 201


async def test_who_guesses_codes_has_to_wait(town: Street) -> None:
    for number in range(20):
        assert (await town.rent(proof={"totp": {"code": f"{number:08}"}})).status == 403
    reply = await town.rent()
    assert reply.status == 429 and int(reply.headers["Retry-After"]) > 0
    assert await town.door_opens() == 0


@pytest.mark.parametrize("method", ["totp", "ble", "geofence"])
async def test_a_cabinet_takes_the_proofs_that_it_is_set_to(town: Street, method: str) -> None:
    proofs = {"totp": code(), "ble": nonce(), "geofence": place()}
    body = {"methods": [method], "latitude": HERE[0], "longitude": HERE[1], "radius_m": 50}
    assert (await town.ask("staff", "PUT", "/stations/C1/presence", body)).status == 200
    statuses = {name: (await town.rent(proof=proof)).status for name, proof in proofs.items()}
    assert statuses == {name: 201 if name == method else 403 for name in proofs}


async def test_the_radius_is_the_cabinets(town: Street) -> None:
    near = place(NEAR[0])
    body = {"methods": ["geofence"], "latitude": HERE[0], "longitude": HERE[1], "radius_m": 40}
    await town.ask("staff", "PUT", "/stations/C1/presence", body)
    assert (await town.rent(proof=near)).status == 403
    await town.ask("staff", "PUT", "/stations/C1/presence", {**body, "radius_m": 50})
    assert (await town.rent(proof=near)).status == 201


async def test_a_secret_is_shown_once_and_makes_the_codes_of_the_screen(town: Street) -> None:
    body = {"methods": ["totp", "ble"], "generate_secret": True}
    told = (await town.ask("staff", "PUT", "/stations/C1/presence", body)).json
    secret = base64.b32decode(told["secret"] + "=" * (-len(told["secret"]) % 8))
    assert len(secret) == 32 and told["uri"].startswith("otpauth://totp/C1?secret=")
    for reply in (
        await town.ask("staff", "GET", "/stations/C1/presence"),
        await town.ask("staff", "PUT", "/stations/C1/presence", {"methods": ["totp"]}),
    ):
        assert reply.json["secret"] is None and reply.json["has_secret"]
    assert (await town.rent(proof=code())).status == 403
    assert (await town.rent(proof={"totp": {"code": presence.totp(secret, SECONDS)}})).status == 201


@pytest.mark.parametrize(
    ("station", "body", "status"),
    [
        ("C2", {"methods": ["geofence"]}, 422),
        ("C2", {"methods": [], "latitude": 37.5}, 422),
        ("C2", {"methods": [], "latitude": 91, "longitude": 0}, 422),
        ("C2", {"methods": ["nfc"]}, 422),
        ("C2", {"methods": ["totp"], "radius_m": 0}, 422),
        ("S1", {"methods": []}, 409),
        ("C9", {"methods": []}, 404),
    ],
)
async def test_a_setting_that_cannot_be_is_refused(town: Street, station: str, body: Any, status: int) -> None:
    reply = await town.ask("staff", "PUT", f"/stations/{station}/presence", body)
    assert reply.status == status, reply.body


async def test_codes_need_a_secret(town: Street) -> None:
    async with town.rest.pool.acquire() as conn:
        await conn.execute("delete from cabinet_presence where station_id = 'C2'")
    reply = await town.ask("staff", "PUT", "/stations/C2/presence", {"methods": ["totp"]})
    assert reply.status == 422 and reply.json["errors"][0]["pointer"] == "/generate_secret"


@pytest.mark.parametrize(
    "proof", [{}, {"totp": {"code": "1"}}, {**code(), **nonce()}, {"ble": {"nonce": "x"}}, {"geofence": {}}, "code"]
)
async def test_a_malformed_proof_is_told_as_such(town: Street, proof: Any) -> None:
    reply = await town.rent(proof=proof)
    assert reply.status == 422 and reply.json["errors"][0]["pointer"].startswith("/proof")


async def test_staff_act_for_a_driver_without_proof_but_not_without_their_scope(town: Street) -> None:
    body = {"station": "C1", "driver": "ann"}
    refused = await town.ask("staff", "POST", "/rentals", body, scopes=("stations:read",))
    done = await town.ask("staff", "POST", "/rentals", body, scopes=("stations:command", "drivers:read"))
    assert (refused.status, done.status) == (403, 201) and done.json["proof"] == "staff"
