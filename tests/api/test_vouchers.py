"""Vouchers: offered, bought from the balance, used, given back; and what the books say of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from tests.api.plaza import Plaza, plaza
from tests.flows import swaps

TERMS = {
    "id": "m", "name": "Monthly", "unit": "wh", "amount": 2_000, "price": {"minor": 10_000, "currency": "KRW"},
    "vat_percent": "10", "valid_days": 30, "refund": "unused",
}  # fmt: skip


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Plaza]:
    async with plaza(dsn, pool) as found:
        yield found


async def balance(town: Plaza) -> int:
    return int((await town.rest.get("/drivers/ann/balance"))["balances"][0]["balance"]["minor"])


async def bought(town: Plaza, **more: Any) -> Any:
    """A voucher that Ann has bought."""
    await town.sell(**more)
    reply = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"})
    assert reply.status == 201, reply.body
    return reply.json


async def test_what_a_product_does_and_where_is_shown_as_it_was_told(town: Plaza) -> None:
    effect = {"kind": "percent_off", "percent": 12.5}
    conditions = {"start_time": "21:00", "end_time": "07:00", "day_of_week": ["MONDAY"], "sites": ["site"]}
    told = {**TERMS, "effect": effect, "conditions": conditions, "uses_max": 3, "quota": 9, "country": "KR"}
    first = await town.ask("staff", "POST", "/voucher-products", told)
    same = await town.ask("staff", "POST", "/voucher-products", told)
    assert (first.status, same.status) == (201, 200), first.body
    assert {name: first.json[name] for name in told} == {**told, "price": first.json["price"]}
    mine = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"})
    assert (mine.json["effect"], mine.json["conditions"], mine.json["used_times"]) == (effect, conditions, 0)
    gone = await town.ask("staff", "POST", "/voucher-products", {**told, "on_sale": False})
    assert gone.status == 201
    assert (await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"})).status == 409


async def test_other_terms_are_a_new_version_and_the_same_are_not(town: Plaza) -> None:
    first = await town.ask("staff", "POST", "/voucher-products", TERMS)
    same = await town.ask("staff", "POST", "/voucher-products", {**TERMS, "vat_percent": "10.0"})
    other = await town.ask("staff", "POST", "/voucher-products", {**TERMS, "overuse_price": "450.5"})
    assert (first.status, same.status, other.status) == (201, 200, 201), first.body
    assert (first.json["version"], same.json["version"], other.json["version"]) == (1, 1, 2)
    assert (other.json["overuse_price"], other.json["provider"], other.json["vat_percent"]) == ("450.5", None, "10")
    assert [p["version"] for p in (await town.ask("ann", "GET", "/voucher-products")).json["items"]] == [2]
    assert (await town.rest.get("/voucher-products/m?version=1"))["overuse_price"] is None
    mine = await town.ask("staff", "POST", "/voucher-products", TERMS, provider="P")
    assert mine.status in (409, 422)
    own = await town.ask("staff", "POST", "/voucher-products", {**TERMS, "id": "p"}, provider="P")
    assert (own.status, own.json["provider"]) == (201, "P")


@pytest.mark.parametrize(
    "change",
    [
        {"unit": "km"},
        {"amount": 0},
        {"price": {"minor": -1, "currency": "KRW"}},
        {"price": {"minor": 1, "currency": "XWH"}},
        {"vat_percent": "101"},
        {"valid_days": 0},
        {"refund": "always"},
        {"overuse_price": "-1"},
        {"provider": "nobody"},
        {"id": "a b"},
        {"effect": {"kind": "percent_off"}},
        {"effect": {"kind": "fee_waived", "fees": ["FLAT"]}},
        {"conditions": {"start_time": "9"}},
        {"uses_max": 0},
        {"country": "Korea"},
    ],
)
async def test_terms_that_cannot_be_are_refused(town: Plaza, change: dict[str, Any]) -> None:
    assert (await town.ask("staff", "POST", "/voucher-products", {**TERMS, **change})).status == 422
    assert await town.count("voucher_product") == 0


async def test_a_voucher_is_bought_once_per_key(town: Plaza) -> None:
    await town.sell()
    first = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"}, key="k")
    again = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"}, key="k")
    assert (first.status, again.json) == (201, first.json)
    voucher = first.json
    assert (voucher["unit"], voucher["total"], voucher["used"], voucher["left"]) == ("wh", 2_000, 0, 2_000)
    assert (voucher["deferred"]["minor"], voucher["released"]["minor"], voucher["valid"]) == (10_000, 0, True)
    assert voucher["valid_until"] == "2026-12-20T12:00:00.000Z" and voucher["carry_until"] is None
    assert await balance(town) == 90_000 and await town.count("voucher") == 1
    assert [v["id"] for v in (await town.ask("ann", "GET", "/drivers/me/vouchers")).json["items"]] == [voucher["id"]]
    assert (await town.ask("bob", "GET", f"/drivers/me/vouchers/{voucher['id']}")).status == 404
    assert (await town.ask("bob", "GET", "/drivers/ann/vouchers")).status == 404


async def test_two_at_once_buy_one_where_the_balance_reaches_for_one(town: Plaza) -> None:
    await town.sell(price={"minor": 60_000, "currency": "KRW"})
    ask = ("ann", "POST", "/drivers/me/vouchers", {"product": "m"})
    replies = await asyncio.gather(*[town.ask(*ask) for _ in range(4)], *[town.ask(*ask, key="k") for _ in range(3)])
    statuses = [reply.status for reply in replies]
    assert set(statuses) == {201, 402} and await town.count("voucher") == 1 and await balance(town) == 40_000


async def test_a_voucher_that_nobody_can_pay_is_not_there(town: Plaza) -> None:
    await town.sell(price={"minor": 100_001, "currency": "KRW"})
    refused = await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"})
    assert (refused.status, refused.json["error"]) == (402, "NoCredit")
    assert (await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "n"})).status == 422
    assert (await town.ask("staff", "POST", "/drivers/eve/vouchers", {"product": "m"})).status == 409
    assert (await town.ask("staff", "POST", "/drivers/nobody/vouchers", {"product": "m"})).status == 404
    assert await town.count("voucher") == 0 and await balance(town) == 100_000


async def used(town: Plaza) -> Any:
    """1,068 of Ann's 2,000 Wh are used."""
    voucher = await bought(town)
    mine = await town.pack()
    town.later(60)
    await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    return (await town.ask("ann", "GET", f"/drivers/me/vouchers/{voucher['id']}")).json


async def test_a_use_takes_units_and_releases_their_part_of_the_price(town: Plaza) -> None:
    voucher = await used(town)
    assert (voucher["used"], voucher["left"], voucher["released"]["minor"]) == (1_068, 932, 5_340)
    [use] = voucher["uses"]
    assert (use["units"], use["released"]["minor"], use["station"]) == (1_068, 5_340, "X1") and use["item"] is not None
    assert use["revision"] == 1
    trial = await town.rest.get("/ledger/trial-balance")
    lines = {line["account"]: line["balance"] for line in trial["items"] if line["balance"]["currency"] == "XWH"}
    assert lines["voucher:*:wh"] == {"amount": "932", "currency": "XWH", "minor": 932}
    assert {total["minor"] for total in trial["totals"]} == {0}
    account = await town.rest.get(f"/ledger/accounts/voucher:{voucher['id']}:wh")
    assert account["balances"] == [{"amount": "932", "currency": "XWH", "minor": 932}]
    rows = (await town.rest.get("/reports/trial-balance"))["items"]
    [row] = [row for row in rows if row["account"] == "voucher:*:wh"]
    assert (row["currency"], row["debit"], row["credit"], row["balance"]) == ("XWH", "1068", "2000", "932")
    bill = (await town.rest.get("/bills"))["items"][0]
    assert (await town.rest.get(f"/bills/{bill['id']}/transfers"))["items"]


async def test_what_is_left_goes_back_once(town: Plaza) -> None:
    voucher = await used(town)
    before = await balance(town)
    path = f"/drivers/me/vouchers/{voucher['id']}/refund"
    replies = await asyncio.gather(*[town.ask("ann", "POST", path, key=f"k{n // 2}") for n in range(8)])
    done = [reply.json for reply in replies if reply.status == 200]
    assert sorted(reply.status for reply in replies) == [200] * 2 + [409] * 6 and done[0] == done[1]
    assert (done[0]["state"], done[0]["left"], done[0]["valid"]) == ("refunded", 0, False)
    assert "already" in next(reply.json["detail"] for reply in replies if reply.status == 409)
    assert await balance(town) == before + 4_660
    assert (await town.ask("bob", "POST", path)).status == 404
    other = (await town.ask("ann", "POST", "/drivers/me/vouchers", {"product": "m"})).json
    wanted = {"state=active": [other["id"]], "state=refunded": [voucher["id"]], "valid=true": [other["id"]]}
    for query, ids in {**wanted, "valid=false": [voucher["id"]], "": [other["id"], voucher["id"]]}.items():
        found = (await town.ask("ann", "GET", f"/drivers/me/vouchers?{query}")).json["items"]
        assert [each["id"] for each in found] == ids, query
    assert (await town.ask("ann", "GET", "/drivers/me/vouchers?state=used_up")).status == 400


@pytest.mark.parametrize("refund", ["none", "untouched"])
async def test_a_voucher_goes_back_as_its_terms_allow(town: Plaza, refund: str) -> None:
    voucher = await bought(town, refund=refund)
    if refund == "untouched":
        mine = await town.pack()
        town.later(60)
        await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    before = await balance(town)
    assert (await town.ask("ann", "POST", f"/drivers/me/vouchers/{voucher['id']}/refund")).status == 409
    assert await balance(town) == before


async def test_a_use_and_a_refund_at_once_agree(town: Plaza) -> None:
    voucher = await bought(town)
    mine = await town.pack()
    town.later(60)
    path = f"/drivers/me/vouchers/{voucher['id']}/refund"
    await asyncio.gather(
        town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)}), *[town.ask("ann", "POST", path) for _ in range(3)]
    )
    after = (await town.ask("ann", "GET", f"/drivers/me/vouchers/{voucher['id']}")).json
    assert after["state"] == "refunded" and after["used"] in (0, 1_068)


async def test_what_is_carried_over_is_valid_while_another_one_runs(town: Plaza) -> None:
    first = await bought(town, carry_over=True)
    town.later(40 * 24 * 60)
    assert (await town.rest.get(f"/drivers/ann/vouchers/{first['id']}"))["valid"] is False
    second = await bought(town, carry_over=True)
    listed = {v["id"]: v["valid"] for v in (await town.rest.get("/drivers/ann/vouchers"))["items"]}
    assert listed == {first["id"]: True, second["id"]: True}


async def test_the_liability_report_tells_units_and_money_as_of_an_instant(town: Plaza) -> None:
    voucher = await bought(town)
    then = await town.rest.get("/reports/voucher-liability?as_of=2026-11-20T12:00:00Z")
    mine = await town.pack()
    town.later(60)
    await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    now = await town.rest.get("/reports/voucher-liability")
    await town.ask("ann", "POST", f"/drivers/me/vouchers/{voucher['id']}/refund")
    later = await town.rest.get("/reports/voucher-liability")

    def figures(report: Any) -> list[Any]:
        [row] = report["items"]
        money = ("price_minor", "released_minor", "given_back_minor", "deferred_minor")
        units = ("units_sold", "units_used", "units_given_back", "units_left")
        return [row["product"], row["sold"], *(row[name] for name in (*units, *money))]

    assert figures(then) == ["m", 1, 2_000, 0, 0, 2_000, 10_000, 0, 0, 10_000]
    assert figures(now) == ["m", 1, 2_000, 1_068, 0, 932, 10_000, 5_340, 0, 4_660]
    assert figures(later) == ["m", 1, 2_000, 1_068, 932, 0, 10_000, 5_340, 4_660, 0]
    again = await town.rest.get("/reports/voucher-liability?as_of=2026-11-20T12:00:00Z")
    assert again == then
    prepaid = await town.rest.get("/reports/prepaid-liability?driver=ann")
    [row] = prepaid["items"]
    assert row["balance_minor"] == await balance(town)


async def test_swaps_and_packs_are_reports(town: Plaza) -> None:
    mine = await town.pack()
    town.later(60)
    await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    rows = (await town.rest.get("/reports/swaps?station=X1&driver=ann"))["items"]
    assert [(row["packs_in"], row["battery_wh"], row["fee_minor"]) for row in rows] == [
        ("", None, None),
        (mine, 1_068, 634),
    ]
    packs = {row["pack"]: row for row in (await town.rest.get("/reports/packs?provider=P"))["items"]}
    assert (packs[mine]["station"], packs[mine]["connector"], packs[mine]["soc"]) == ("X1", 4, 2_000)
    assert packs["b5"]["place"] == "unknown" and packs["b5"]["soc"] is None
    for name in ("swaps", "packs", "voucher-liability"):
        assert (await town.ask("staff", "GET", f"/reports/{name}?format=csv")).status == 200


async def test_staff_buy_and_give_back_for_a_driver(town: Plaza) -> None:
    await town.sell(unit="val", amount=12_000)
    voucher = await town.ask("staff", "POST", "/drivers/ann/vouchers", {"product": "m"})
    assert (voucher.status, voucher.json["unit"], voucher.json["left"]) == (201, "val", 12_000), voucher.body
    path = f"/drivers/ann/vouchers/{voucher.json['id']}/refund"
    back = await town.ask("staff", "POST", path, scopes=("refund:create",))
    again = await town.ask("staff", "POST", path)
    assert (back.status, back.json["state"]) == (200, "refunded"), back.body
    assert again.status == 409 and await balance(town) == 100_000
    own = await town.ask("staff", "POST", "/drivers/ann/vouchers", {"product": "m"}, provider="P")
    assert own.status == 404


async def test_a_voucher_of_value_pays_what_a_swap_costs(town: Plaza) -> None:
    voucher = await bought(town, unit="val", amount=12_000)
    mine = await town.pack()
    town.later(60)
    answer = await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    assert answer.bill.fee_minor == 528
    after = (await town.ask("ann", "GET", f"/drivers/me/vouchers/{voucher['id']}")).json
    assert (after["used"], after["released"]["minor"]) == (634, 528)


async def test_a_voucher_for_elsewhere_for_charging_or_with_a_percentage_pays_no_swap(town: Plaza) -> None:
    others = (
        {"conditions": {"stations": ["ELSEWHERE"]}},
        {"conditions": {"uses": ["charge"]}},
        {"effect": {"kind": "percent_off", "percent": 50}, "unit": "wh"},
    )
    for number, terms in enumerate(others):
        await bought(town, **{"unit": "val", "amount": 12_000 + number, **terms})
    mine = await town.pack()
    town.later(60)
    await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    rows = (await town.ask("ann", "GET", "/drivers/me/vouchers")).json["items"]
    assert [row["used"] for row in rows] == [0, 0, 0]


async def test_a_policy_takes_nothing_that_a_late_use_may_still_ask_for(town: Plaza) -> None:
    policy = {"after_days": 44, "basis": "our terms"}
    early = await town.ask("staff", "PUT", "/breakage-policies/KR", policy)
    right = await town.ask("staff", "PUT", "/breakage-policies/KR", {**policy, "after_days": 45})

    assert (early.status, right.status) == (422, 200), (early.body, right.body)
    assert "45 days late" in early.json["detail"]


async def test_what_was_lost_is_found_by_its_state(town: Plaza) -> None:
    voucher = await bought(town)
    async with town.rest.pool.acquire() as conn:
        await conn.execute("update voucher set state = 'expired'")
        found = await town.ask("ann", "GET", "/drivers/me/vouchers?state=expired")
        await conn.execute("update voucher set state = 'active'")

    assert [one["id"] for one in found.json["items"]] == [voucher["id"]], found.body
