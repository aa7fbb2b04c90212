"""A voucher as a signed document: for its driver, verified by anybody, and nothing but a voucher."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import uuid4

import pytest
from joserfc import jwt
from joserfc.jwk import KeySet

from csms import db
from tests.api.offered import Bazaar, bazaar
from tests.api.test_voucher_preview import P1
from tests.api.test_voucher_purchases import SOCIAL

GIVEN_BACK = {**P1, "id": "back", "refund": "unused"}


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Bazaar]:
    async with bazaar(dsn, pool) as found:
        yield found


async def bought(town: Bazaar) -> Any:
    """A voucher of Ann's that may go back."""
    await town.rest.post("/voucher-products", GIVEN_BACK)
    return (await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "back"})).json


def path_of(voucher: Any, driver: str = "me") -> str:
    return f"/drivers/{driver}/vouchers/{voucher['id']}/document"


async def jobs(town: Bazaar) -> list[dict[str, Any]]:
    """Deliveries that are left to do."""
    async with town.rest.pool.acquire() as conn:
        rows = await conn.fetch("select subject, payload from outbox where kind = 'voucher.deliver'")
    return [{"subject": row["subject"], **json.loads(row["payload"])} for row in rows]


async def test_anybody_can_verify_what_was_bought_and_nobody_sees_whose_it_is(town: Bazaar) -> None:
    voucher = await bought(town)

    document = (await town.ask("ann", "GET", path_of(voucher))).json["document"]

    keys = KeySet.import_key_set((await town.rest.raw("GET", "/.well-known/jwks.json")).json)
    token = jwt.decode(document, keys, algorithms=["ES256"])
    assert (token.header["typ"], token.claims["iss"], token.claims["aud"]) == ("voucher+jwt", "csms", "csms/vouchers")
    told = {name: token.claims[name] for name in ("jti", "product", "version", "unit", "total", "effect", "conditions")}
    assert told == {
        "jti": voucher["id"], "product": "back", "version": 1, "unit": voucher["unit"], "total": voucher["total"],
        "effect": voucher["effect"], "conditions": voucher["conditions"],
    }  # fmt: skip
    assert token.claims["price"] == {"minor": voucher["price"]["minor"], "currency": "KRW"}
    until = datetime.fromisoformat(voucher["valid_until"])
    assert (token.claims["exp"], token.claims["nbf"]) == (int(until.timestamp()), token.claims["iat"])
    assert "ann" not in json.dumps(token.claims) and len(token.claims["driver"]) == 64
    assert 400 < len(document) < 1_500


async def test_no_two_vouchers_tell_that_they_are_one_drivers(town: Bazaar) -> None:
    documents = [(await town.ask("staff", "GET", path_of(await bought(town), "ann"))).json["document"] for _ in "12"]

    keys = KeySet.import_key_set((await town.rest.raw("GET", "/.well-known/jwks.json")).json)
    assert len({jwt.decode(text, keys, algorithms=["ES256"]).claims["driver"] for text in documents}) == 2


async def test_only_its_driver_gets_it_and_only_while_it_is_active(town: Bazaar) -> None:
    voucher = await bought(town)

    assert (await town.ask("bob", "GET", path_of(voucher))).status == 404
    assert (await town.ask("bob", "GET", path_of(voucher, "ann"))).status == 404
    assert (await town.ask("ann", "GET", path_of({"id": uuid4()}))).status == 404
    assert (await town.ask("ann", "POST", f"/drivers/me/vouchers/{voucher['id']}/refund")).status == 200
    refused = await town.ask("ann", "GET", path_of(voucher))
    assert (refused.status, refused.json["detail"]) == (409, "this voucher is refunded")


async def test_it_is_neither_an_access_token_nor_an_offer(town: Bazaar) -> None:
    document = (await town.ask("ann", "GET", path_of(await bought(town)))).json["document"]

    headers = {"Authorization": f"Bearer {document}"}
    assert (await town.rest.raw("GET", "/api/v1/stations", headers=headers)).status == 401
    assert (await town.buy(document)).status == 409


async def test_what_is_bought_where_a_vehicle_stands_is_to_be_delivered_there_once(town: Bazaar) -> None:
    await town.buy((await town.offer())["offer"])
    assert await jobs(town) == []
    offers = [(await town.inquire(station="S1")).json["offers"][0] for _ in "12"]

    for key in ("k", "k", None):
        reply = await town.buy(offers[0]["offer"], key=key)
    first = reply.json["voucher"]
    other = (await town.buy(offers[1]["offer"], pay=SOCIAL)).json["id"]

    assert {one["subject"]: one["offer"] for one in await jobs(town)} == {
        f"voucher/{first}": offers[0]["id"], f"voucher/{other}": offers[1]["id"],
    }  # fmt: skip
