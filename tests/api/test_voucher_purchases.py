"""An offered voucher is bought once, in time, at its price, by whoever it was offered to (V04)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any, cast
from uuid import UUID

import pytest

from csms import db
from csms.api import voucher_purchases
from csms.domain.authorization import Ask
from csms.flows import purchases
from csms.psp.base import Answer, Found, Psp
from csms.store.outbox import Job
from csms.worker.purchases import pay
from csms.worker.tasks import Outside
from tests.api.offered import Bazaar, Till, bazaar
from tests.api.test_voucher_preview import P2, product

SOCIAL = {"psp": "social", "token": "token-of-ann"}


@pytest.fixture
async def town(dsn: str, pool: db.Pool, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bazaar]:
    monkeypatch.setattr(voucher_purchases, "PSP_S_MAX", 0.5)
    async with bazaar(dsn, pool) as found:
        yield found


async def means(town: Bazaar) -> dict[str, str]:
    """Ann's stored means."""
    body = {"psp": "social", "token": "token-of-ann", "label": "mine"}
    return {"means": (await town.ask("ann", "POST", "/drivers/me/payment-means", body)).json["id"]}


async def work(town: Bazaar) -> Any:
    """The worker takes the job of the payment in hand."""
    async with town.rest.pool.acquire() as conn:
        row = await conn.fetchrow("select * from outbox where kind = 'voucher.pay'")
    job = Job(
        row["id"], row["kind"], row["key"], row["subject"], {"payment": str(row["id"])}, row["attempts"], 1, False
    )
    psps = {"social": cast(Psp, town.till)}
    return await pay(job, Outside(town.rest.pool, psps, {}, lambda: town.now, random.Random(1)))


@pytest.mark.parametrize("by", ["offer", "id"], ids=["signed", "by its id"])
async def test_an_offer_is_bought_from_the_balance(town: Bazaar, by: str) -> None:
    offer = await town.offer()

    bought = await town.buy(offer[by])

    assert bought.status == 201, bought.body
    assert (bought.json["product"], bought.json["price"], bought.json["valid"]) == ("P2", offer["price"], True)
    assert await town.balance() == 50_000 - 7_900
    listed = (await town.ask("ann", "GET", "/drivers/me/vouchers")).json["items"]
    assert [one["id"] for one in listed] == [bought.json["id"]]


async def test_a_repeat_gets_the_first_answer(town: Bazaar) -> None:
    offer = await town.offer()

    replies = [await town.buy(offer["offer"], key="k") for _ in range(3)]
    town.later(60)
    replies.append(await town.buy(offer["offer"], key="k"))

    assert {reply.status for reply in replies} == {201} and len({reply.body for reply in replies}) == 1
    assert await town.count("voucher") == 1 and await town.balance() == 42_100


async def test_another_key_is_told_what_was_bought(town: Bazaar) -> None:
    offer = await town.offer()
    bought = await town.buy(offer["offer"])

    again = await town.buy(offer["offer"])

    assert (again.status, again.json["voucher"]) == (409, bought.json["id"])
    assert (await town.buy(offer["id"], pay=SOCIAL)).json["voucher"] == bought.json["id"]
    assert await town.count("voucher") == 1 and town.till.asks == []


async def test_of_many_at_once_one_buys(town: Bazaar) -> None:
    offer = await town.offer()
    card = await means(town)

    replies = await asyncio.gather(
        *[town.buy(offer["offer"]) for _ in range(3)], *[town.buy(offer["id"], pay=card) for _ in range(3)]
    )

    assert await town.count("voucher") == 1
    assert {reply.status for reply in replies} <= {201, 202, 409} and 201 in {reply.status for reply in replies}
    assert await town.balance() == 50_000 - 7_900 + sum(town.till.paid.values())


async def test_an_offer_is_over_after_fifteen_minutes(town: Bazaar) -> None:
    offer = await town.offer()
    town.later(14.9)
    other = await town.offer()
    town.later(0.1)

    for pay_by in (None, SOCIAL):
        reply = await town.buy(offer["offer"], pay=pay_by)
        assert (reply.status, reply.json["detail"]) == (410, "this offer is over; ask for offers again")
    assert (await town.buy(other["offer"])).status == 201


async def test_what_was_not_offered_is_not_sold(town: Bazaar) -> None:
    offer = await town.offer()
    head, body, signature = offer["offer"].split(".")
    forged = f"{head}.{body}.{signature[:-4]}AAAA"
    access = await town.rest.token("admin")

    for text in (forged, f"{head}.{body}.", "nonsense", "a.b.c", "\u00e9.b.c", access, str(UUID(int=7)), "P2"):
        reply = await town.buy(text)
        assert reply.status == 409, (text, reply.body)
    assert await town.count("voucher") == 0


async def test_the_offer_of_anothers_vehicle_buys_nothing(town: Bazaar) -> None:
    anns = await town.offer("ann")

    assert (await town.buy(anns["offer"], "bob")).status == 409
    assert (await town.buy(anns["offer"], "bob", of="ann")).status == 404
    assert (await town.buy(anns["offer"], "ann")).status == 201


async def test_the_price_that_was_offered_stands(town: Bazaar) -> None:
    offer = await town.offer()
    await town.rest.post("/voucher-products", {**P2, "price": {"minor": 99_000, "currency": "KRW"}})

    bought = await town.buy(offer["offer"])

    assert (bought.status, bought.json["price"]["minor"], bought.json["product_version"]) == (201, 7_900, 1)


async def test_what_is_sold_no_more_is_not_sold(town: Bazaar) -> None:
    offer = await town.offer()
    await town.rest.post("/voucher-products", {**P2, "on_sale": False})

    for pay_by in (None, SOCIAL):
        assert (await town.buy(offer["offer"], pay=pay_by)).status == 409
    assert town.till.asks == [] and await town.balance() == 50_000


async def test_a_quota_is_kept_however_many_were_offered(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", {**product("few", 1, 300), "quota": 1})
    offers = {who: (await town.offer(who))["offer"] for who in ("ann", "bob")}

    replies = await asyncio.gather(*[town.buy(offer, who) for who, offer in offers.items()])

    assert sorted(reply.status for reply in replies) == [201, 409]


async def test_what_is_not_paid_is_not_there(town: Bazaar) -> None:
    await town.rest.post("/voucher-products", product("dear", 60_000, 300, "KRW", valid_days=1))
    for name in ("P1", "P2", "P3", "P4"):
        await town.rest.post("/voucher-products", {**P2, "id": name, "name": name, "on_sale": False})
    offer = await town.offer()

    reply = await town.buy(offer["offer"])

    assert (reply.status, reply.json["error"]) == (402, "NoCredit")
    assert (await town.buy(offer["offer"], pay=SOCIAL)).status == 201
    assert await town.balance() == 50_000


async def test_a_blocked_driver_buys_nothing(town: Bazaar) -> None:
    offer = (await town.inquire("staff", of="eve")).json["offers"][0]

    assert (await town.buy(offer["offer"], "staff", of="eve")).status == 409


async def test_staff_buy_for_a_driver(town: Bazaar) -> None:
    offer = (await town.inquire("staff", of="ann")).json["offers"][0]

    assert (await town.buy(offer["offer"], "staff", of="ann")).json["driver"] == "ann"


async def test_a_price_is_taken_from_stored_means(town: Bazaar) -> None:
    offer = await town.offer()
    card = await means(town)

    first = await town.buy(offer["offer"], key="k", pay=card)
    again = await town.buy(offer["offer"], key="k", pay=card)

    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert list(town.till.paid.values()) == [7_900] and await town.balance() == 50_000
    assert (await town.buy(offer["offer"], pay=card)).json["voucher"] == first.json["id"]


async def test_a_price_is_taken_by_a_social_payment(town: Bazaar) -> None:
    offer = await town.offer()

    assert (await town.buy(offer["offer"], pay={**SOCIAL, "token": "nobody"})).status == 402
    assert (await town.buy(offer["offer"], pay=SOCIAL)).status == 201
    assert list(town.till.paid.values()) == [7_900] and await town.balance() == 50_000


async def test_who_is_declined_may_try_again(town: Bazaar) -> None:
    offer = await town.offer()
    town.till.says = ["declined"]

    declined = await town.buy(offer["offer"], key="k", pay=SOCIAL)
    again = await town.buy(offer["offer"], key="k", pay=SOCIAL)

    assert (declined.status, declined.json["error"], again.status) == (402, "NoCredit", 201)
    assert await town.count("voucher") == 1 and await town.balance() == 50_000


async def test_a_lost_answer_is_looked_for(town: Bazaar) -> None:
    offer = await town.offer()
    town.till.says = ["lost"] * 9

    assert (await town.buy(offer["offer"], pay=SOCIAL)).status == 201
    assert list(town.till.paid.values()) == [7_900]


async def test_what_a_psp_decides_late_is_ended_by_a_job(town: Bazaar) -> None:
    offer = await town.offer()
    town.till.says = ["away-taken"] * 99
    pending = await town.buy(offer["offer"], key="k", pay=SOCIAL)
    assert (pending.status, pending.json["state"]) == (202, "pending"), pending.body
    assert (await town.buy(offer["offer"])).status == 409  # it is being paid

    town.till.says, town.till.hidden = [], False
    town.later(60)
    result = await work(town)

    assert result.state == "done" and await town.count("voucher") == 1 and await town.balance() == 50_000
    assert len(set(town.till.asks)) == 1 and len(town.till.paid) == 1  # asked under one key
    told = await town.buy(offer["offer"], key="k", pay=SOCIAL)
    assert (told.status, told.json["id"]) == (201, result.facts["voucher"])
    assert (await town.buy(offer["offer"], pay=SOCIAL)).status == 409
    assert (await work(town)).facts == {"payment": "taken"}


async def test_whoever_asks_again_meanwhile_ends_it_too(town: Bazaar) -> None:
    offer = await town.offer()
    town.till.says = ["away"] * 99
    assert (await town.buy(offer["offer"], key="k", pay=SOCIAL)).status == 202
    assert (await work(town)).state == "waiting"
    town.later(60)
    town.till.says, town.till.hidden = [], False

    assert (await town.buy(offer["offer"], key="k", pay=SOCIAL)).status == 201
    assert await town.count("voucher_payment") == 1 and await town.balance() == 50_000


async def test_what_was_paid_for_a_voucher_that_is_sold_out_stays_in_the_balance(town: Bazaar) -> None:
    offer = await town.offer()
    town.till.says = ["away-taken"] * 99
    assert (await town.buy(offer["offer"], pay=SOCIAL)).status == 202
    await town.rest.post("/voucher-products", {**P2, "on_sale": False})
    town.till.says, town.till.hidden = [], False

    result = await work(town)

    assert result.state == "done" and "not on sale" in result.facts["balance"]
    assert await town.count("voucher") == 0 and await town.balance() == 57_900
    await town.rest.post("/voucher-products", P2)
    town.later(60)
    assert (await town.buy(offer["offer"])).status == 201  # it was paid in time
    assert await town.balance() == 50_000


@pytest.mark.parametrize("pay_by", [None, SOCIAL], ids=["balance", "psp"])
async def test_what_was_paid_for_in_time_has_its_price_an_hour_longer(town: Bazaar, pay_by: Any) -> None:
    offer = await town.offer()
    town.till.says = ["away-taken"] * 99
    assert (await town.buy(offer["offer"], pay=SOCIAL)).status == 202
    await town.rest.post("/voucher-products", {**P2, "on_sale": False})
    town.till.says, town.till.hidden = [], False
    await work(town)
    await town.rest.post("/voucher-products", P2)

    town.later(75)

    assert (await town.buy(offer["offer"], pay=pay_by)).status == 410
    assert await town.count("voucher") == 0 and await town.balance() == 57_900


@pytest.mark.parametrize("pay_by", [None, SOCIAL], ids=["balance", "psp"])
async def test_what_costs_nothing_is_not_offered_for_ever(town: Bazaar, pay_by: Any) -> None:
    await town.rest.post("/voucher-products", product("free", 0, 300, "KRW"))
    offers = (await town.inquire()).json["offers"]
    free = next(offer["offer"] for offer in offers if offer["price"]["minor"] == 0)

    town.later(15)

    assert (await town.buy(free, pay=pay_by)).status == 410


async def test_a_fault_of_ours_is_not_declined_while_nobody_knows_what_was_taken() -> None:
    class Slow(Till):
        async def authorize(self, key: str, ask: Ask) -> Answer:
            return Answer("our_fault", reason="a header")

        async def get(self, kind: str, ref: str) -> Found:
            await asyncio.sleep(60)
            raise AssertionError

    ask = Ask(UUID(int=1), "", "social", "i", "s", 900, "KRW", "pay_before_refund_rest")

    assert (await purchases.asked(cast(Psp, Slow()), ask, 0.05)) == Answer("unknown", reason="a header")


async def test_what_a_psp_cannot_take_is_said_before(town: Bazaar) -> None:
    offer = await town.offer()
    nobody = {"means": "01934567-89ab-7def-8123-456789abcdef"}

    for pay_by in ({"psp": "bank", "token": "x"}, nobody, {"means": "card"}, "cash", {}):
        assert (await town.buy(offer["offer"], pay=pay_by)).status == 422, pay_by


async def test_a_driver_who_is_paying_is_not_forgotten_meanwhile(town: Bazaar) -> None:
    await town.rest.post("/drivers", {"id": "zoe"})
    offer = (await town.inquire("staff", of="zoe")).json["offers"][0]
    town.till.says = ["away"] * 99
    assert (await town.buy(offer["offer"], "staff", of="zoe", pay=SOCIAL)).status == 202
    refused = await town.ask("staff", "POST", "/drivers/zoe/erasure")
    assert refused.status == 409 and "being paid" in refused.json["detail"]

    town.till.says, town.till.hidden = ["declined"], False
    await work(town)

    assert (await town.ask("staff", "POST", "/drivers/zoe/erasure")).status == 200
    async with town.rest.pool.acquire() as conn:
        assert await conn.fetchval("select subject from voucher_payment") == ""


async def test_a_purchase_needs_a_key(town: Bazaar) -> None:
    path = f"/api/v1/vehicles/{await town.app('ann')}/vouchers"
    headers = {"Authorization": f"Bearer {await town.rest.token('admin')}"}

    assert (await town.rest.raw("POST", path, json={"offer": "x"}, headers=headers)).status == 400
