"""Means of payment: stored at a psp and named here, renting with them, and card numbers, which are never taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from csms import db
from csms.domain.events import AuthorizationDecided
from csms.domain.world import Rules
from csms.flows import rentals
from csms.psp.base import Denied, Psp, VerifiedToken
from tests.api.lockers import Street, code, street
from tests.make import NOON, after

CARD = "4111 1111 1111 1111"


class Tokens:
    """A payment service that knows whose its tokens are."""

    name = "social"

    async def verify_token(self, token: str, station_id: str) -> VerifiedToken | Denied:
        """`token-of-ann` is Ann's."""
        kind, _, subject = token.rpartition("-")
        known = kind == "token-of"
        return VerifiedToken("social", "https://social.example", subject, after(60)) if known else Denied("unknown")


@pytest.fixture
async def town(dsn: str, pool: db.Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    monkeypatch.setattr(rentals, "PSP_S_MAX", 0.5)
    rules = Rules(policies={"social": "hold_capture"})
    async with street(dsn, pool, rules=rules, psps={"social": cast(Psp, Tokens())}) as found:
        yield found


async def add(town: Street, who: str = "ann", driver: str = "ann", **more: Any) -> Any:
    body = {"psp": "social", "label": "my account", **more}
    return await town.ask(who, "POST", f"/drivers/{driver}/payment-means", body)


async def verdict(town: Street, word: Any, minutes: float = 0) -> None:
    """The psp says so about all it was asked."""
    async with town.rest.pool.acquire() as conn:
        asked = await conn.fetch("select id, station_id from psp_authorization where state = 'asking'")
    for row in asked:
        event = AuthorizationDecided(row["id"], row["station_id"], after(minutes), word, None, "pay-1", "d-1")
        await town.rest.tell(event)


async def test_means_are_added_listed_renamed_and_taken_away(town: Street) -> None:
    added = await add(town, subject="ann")
    assert added.status == 201, added.body
    assert (added.json["psp"], added.json["subject"], added.json["issuer"]) == ("social", "ann", town.issuer.url)
    again = await add(town, subject="ann", label="another name")
    assert (again.status, again.json["id"], again.json["label"]) == (200, added.json["id"], "another name")
    for who in ("ann", "staff"):
        (listed,) = (await town.ask(who, "GET", "/drivers/ann/payment-means")).json["items"]
        assert listed == again.json
    assert (await town.ask("bob", "DELETE", f"/drivers/me/payment-means/{listed['id']}")).status == 404
    assert (await town.ask("ann", "DELETE", f"/drivers/me/payment-means/{listed['id']}")).status == 204
    assert (await town.ask("ann", "GET", "/drivers/me/payment-means")).json["items"] == []
    assert (await town.rent(payment_means=listed["id"])).status == 402


async def test_a_driver_names_only_itself_and_staff_vouch(town: Street) -> None:
    assert (await add(town, subject="somebody-rich")).status == 403
    assert (await add(town, token="token-of-ann", subject="somebody-rich")).status == 422
    assert (await add(town, token="no token")).status == 422
    assert (await add(town)).status == 422
    assert (await add(town, subject="ann", psp="nobody")).status == 422
    assert (await add(town, "bob", subject="bob")).status == 404
    assert await town.count("payment_means") == 0
    by_token = await add(town, token="token-of-annie")
    assert (by_token.status, by_token.json["subject"]) == (201, "annie")
    vouched = await add(town, "staff", subject="customer-7")
    assert (vouched.status, vouched.json["issuer"]) == (201, "social")
    another = await add(town, "staff", subject="bob", issuer=town.issuer.url)
    assert another.status == 409 and (await add(town, "staff", "nobody", subject="x")).status == 404


@pytest.mark.parametrize("field", ["psp", "subject", "issuer", "token", "label", "anything"])
@pytest.mark.parametrize("number", [CARD, "4111-1111-1111-1111", "my card 4111111111111111 12/27", 4111111111111111])
async def test_a_card_number_is_refused_and_nowhere_kept(
    town: Street, field: str, number: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    before = await town.count("audit_event")
    reply = await add(town, **{"subject": "ann", field: number})
    assert reply.status == 422 and "card number" in reply.json["errors"][0]["detail"]
    named = await add(town, **{"subject": "ann", CARD: "x"})
    assert named.status == 422
    out = capsys.readouterr()
    for text in (reply.body.decode(), named.body.decode(), out.out, out.err):
        assert "4111" not in text
    assert await town.count("payment_means") == 0 and await town.count("audit_event") == before


async def test_a_rental_waits_for_its_psp_and_opens_when_that_agrees(town: Street) -> None:
    means = (await add(town, subject="ann")).json["id"]
    waiting = await town.rent(payment_means=means, key="k")
    assert (waiting.status, waiting.json["state"]) == (202, "requested"), waiting.body
    path = f"/rentals/{waiting.json['id']}"
    assert (await town.ask("ann", "GET", path)).json["state"] == "requested"
    assert (await town.ask("bob", "GET", path)).status == 404
    unpaid = await town.ask("ann", "POST", f"{path}/charging-request")
    assert (unpaid.status, unpaid.json["error"]) == (409, "not_paid") and await town.door_opens() == 0
    await verdict(town, "authorized")
    again = await town.rent(payment_means=means, key="k")
    assert (again.status, again.json["state"], again.json["means"]) == (201, "opening", "psp"), again.body
    assert again.json["driver"] == "ann" and await town.door_opens() == 1


async def test_a_psp_that_is_quick_is_waited_for(town: Street, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rentals, "PSP_S_MAX", 20)
    means = (await add(town, subject="ann")).json["id"]
    asked = asyncio.create_task(town.rent(payment_means=means))
    await town.until(lambda: town.count("psp_authorization"))
    await verdict(town, "authorized")
    assert (await asked).status == 201


async def test_a_rental_that_its_psp_declines_is_402_whenever_it_is_asked(town: Street) -> None:
    means = (await add(town, subject="ann")).json["id"]
    waiting = await town.rent(payment_means=means, key="k")
    await verdict(town, "declined")
    again = await town.rent(payment_means=means, key="k")
    assert (again.status, again.json["error"], again.json["rental"]) == (402, "NoCredit", waiting.json["id"])
    shown = (await town.ask("ann", "GET", f"/rentals/{waiting.json['id']}")).json
    assert shown["state"] == "refused" and await town.door_opens() == 0


async def test_what_waits_for_a_psp_can_be_given_up(town: Street) -> None:
    means = (await add(town, subject="ann")).json["id"]
    waiting = await town.rent(payment_means=means)
    cancelled = await town.ask("ann", "POST", f"/rentals/{waiting.json['id']}/cancel")
    assert (cancelled.status, cancelled.json["state"]) == (200, "cancelled"), cancelled.body
    await verdict(town, "authorized")
    assert await town.door_opens() == 0


async def test_who_is_forgotten_takes_the_means_along(town: Street) -> None:
    assert (await add(town, "staff", "bob", subject="customer-8")).status == 201
    assert (await town.rent("bob", proof=code())).status == 402
    erased = await town.ask("staff", "POST", "/drivers/bob/erasure")
    assert erased.status == 200, erased.body
    async with town.rest.pool.acquire() as conn:
        left = await conn.fetch("select 1 from token where driver_id = 'bob' union all select 1 from payment_means")
        subjects = await conn.fetchval("select count(*) from token where subject = 'customer-8'")
    assert list(left) == [] and subjects == 0 and town.now == NOON
