"""Meter keys: checked, one per meter however often it is sent, known at once to the connection that needs them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from csms.domain.commands import UseMeterKeys
from tests.api.conftest import Rest
from tests.make import NOON
from tests.ocpp.meter import Meter

METER = Meter()
OTHER = Meter()


async def test_a_key_is_registered_once_listed_and_taken_back(seeded: Rest) -> None:
    body = {"connector": 1, "public_key": METER.public_key, "meter_serial": "M-1"}
    first = await seeded.ask("POST", "/stations/S1/meter-keys", json=body)
    again = await seeded.ask("POST", "/stations/S1/meter-keys", json=body)
    assert (first.status, again.status) == (201, 200)
    assert first.json == again.json
    assert (first.json["curve"], first.json["public_key"]) == ("secp256r1", METER.public_key)

    listed = await seeded.get("/stations/S1/meter-keys")
    assert [item["id"] for item in listed["items"]] == [first.json["id"]]
    path = f"/stations/S1/meter-keys/{first.json['id']}"
    assert (await seeded.ask("DELETE", path)).status == 204
    assert (await seeded.ask("DELETE", path)).status == 404
    assert await seeded.get("/stations/S1/meter-keys") == {"items": []}


async def test_a_running_connection_is_told_at_once(seeded: Rest) -> None:
    told: list[Any] = seeded.connect("S1")
    key = await seeded.post("/stations/S1/meter-keys", {"public_key": METER.public_key})
    await seeded.post("/stations/S1/meter-keys", {"public_key": OTHER.public_key, "connector": 2})
    await seeded.ask("DELETE", f"/stations/S1/meter-keys/{key['id']}")
    mine, others = (METER.public_key,), (OTHER.public_key,)
    assert told == [UseMeterKeys({0: mine}), UseMeterKeys({0: mine, 2: others}), UseMeterKeys({2: others})]


@pytest.mark.parametrize("key", ["", "zz", "00", "MFkwEwYHKoZIzj0CAQ", METER.public_key[:-4], "x" * 5_000])
async def test_what_is_no_key_is_refused_with_a_pointer(seeded: Rest, key: str) -> None:
    reply = await seeded.ask("POST", "/stations/S1/meter-keys", json={"public_key": key})
    assert reply.status in (400, 422)
    assert "public_key" in reply.body.decode()
    assert await seeded.get("/stations/S1/meter-keys") == {"items": []}


async def test_unknown_stations_have_no_keys(seeded: Rest) -> None:
    body = {"public_key": METER.public_key}
    assert (await seeded.ask("POST", "/stations/nobody/meter-keys", json=body)).status == 404
    assert (await seeded.ask("GET", "/stations/nobody/meter-keys")).status == 404
    assert (await seeded.ask("DELETE", f"/stations/nobody/meter-keys/{uuid4()}")).status == 404


async def test_what_was_signed_is_shown_to_the_letter(seeded: Rest) -> None:
    session, text = uuid4(), METER.sign(("B", 1_000)) + " "
    async with seeded.pool.acquire() as conn:
        await conn.execute(
            "insert into session (station_id, id, ref, start_key, version, state, day, connector, provider_id,"
            " terms_version, offline, opened_at) values ('S1', $1, 'r', 'r', 1, 'active', $2, 1, 'P', 1, false, $3)",
            session, NOON.date(), NOON,
        )  # fmt: skip
        for place, context in enumerate(("end", "begin")):
            await conn.execute(
                "insert into signed_value values ($1, $2, sha256($3::bytea), 'S1', 1, $4, 'OCMF', $5, 'valid', null,"
                " 1000, $4)",
                session, context, context.encode(), NOON - timedelta(minutes=place), text,
            )  # fmt: skip
    await seeded.post("/stations/S1/meter-keys", {"connector": 1, "public_key": METER.public_key})
    shown = await seeded.get(f"/sessions/{session}/signed-values", scopes=("reports:read",))
    assert [(item["context"], item["raw"], item["verdict"]) for item in shown["items"]] == [
        ("begin", text, "valid"),
        ("end", text, "valid"),
    ]
    assert shown["public_keys"] == [METER.public_key]
    assert (await seeded.ask("GET", f"/sessions/{uuid4()}/signed-values")).status == 404
