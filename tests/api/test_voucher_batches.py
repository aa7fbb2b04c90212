"""Vouchers that are given away, over HTTP: codes told once, redeemed once, taken back; and who may guess how often."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from csms import db
from csms.api.call import CODES_MAX
from csms.api.routes import PREFIX
from csms.domain import gift_code
from tests.api.conftest import Reply, Rest
from tests.api.plaza import Plaza, plaza
from tests.flows import swaps

UNTIL = "2026-12-31T00:00:00Z"
REDEEM = "/drivers/me/vouchers/redeem"


@pytest.fixture
async def town(dsn: str, pool: db.Pool) -> AsyncIterator[Plaza]:
    async with plaza(dsn, pool) as found:
        await found.sell()
        await found.rest.post(
            "/voucher-products",
            {
                "id": "own", "provider": "P", "name": "Own", "unit": "wh", "amount": 1_000, "valid_days": 7,
                "price": {"minor": 5_000, "currency": "KRW"}, "on_sale": False,
            },
        )  # fmt: skip
        yield found


async def batch(town: Plaza, **more: Any) -> Reply:
    """Three codes for 2,000 Wh, given by the operator."""
    key, provider, query = more.pop("key", None), more.pop("provider", None), more.pop("query", "")
    body = {"id": "spring", "product": "m", "count": 3, "note": "Fair", "redeem_until": UNTIL, **more}
    scopes = ("tariff:write",)
    path = f"/voucher-batches{query}"
    return await town.ask("staff", "POST", path, body, key=key, provider=provider, scopes=scopes)


async def redeem(town: Plaza, code: str, who: str = "ann", key: str | None = None) -> Reply:
    return await town.ask(who, "POST", REDEEM, {"code": code}, key=key)


async def shown(town: Plaza) -> tuple[int, ...]:
    """(count, redeemed, expired, revoked) of the batch."""
    found = (await town.ask("staff", "GET", "/voucher-batches/spring")).json
    assert "codes" not in found
    return tuple(found[name] for name in ("count", "redeemed", "expired", "revoked"))


async def test_codes_are_told_once_and_only_their_hashes_are_kept(town: Plaza) -> None:
    first = await batch(town, key="k")
    again = await batch(town, key="k")
    assert (first.status, again.status) == (201, 201), first.body
    assert again.json == {**first.json, "codes": None}
    assert len(set(first.json["codes"])) == 3 and first.json["funded_by"] == "operator"
    tables = ("token", "voucher_gift", "voucher", "voucher_batch", "driver", "idempotency_key", "audit_event")
    async with town.rest.pool.acquire() as conn:
        for code in (gift_code.read(printed) for printed in first.json["codes"]):
            assert code is not None
            hashed = hashlib.sha256(code.lower().encode()).hexdigest()
            for table in tables:
                texts = [row["text"] for row in await conn.fetch(f"select upper(t::text) as text from {table} t")]
                assert not [text for text in texts if code in text or gift_code.grouped(code) in text], table
                assert table not in ("token", "voucher_gift") or any(hashed.upper() in text for text in texts)
    assert (await batch(town)).status == 409
    listed = (await town.ask("staff", "GET", "/voucher-batches?product=m")).json["items"]
    assert [(one["id"], one["count"], one["note"]) for one in listed] == [("spring", 3, "Fair")]
    assert (await town.ask("staff", "GET", "/voucher-batches?product=own")).json["items"] == []


async def test_codes_come_as_lines_of_text_once(town: Plaza) -> None:
    first = await batch(town, key="k", query="?format=csv")
    again = await batch(town, key="k", query="?format=csv")
    head, *codes = first.body.decode().split()
    assert (first.status, head, len(codes)) == (201, "code", 3) and all(gift_code.read(code) for code in codes)
    assert again.status == 409


async def test_whoever_shows_a_code_is_in_no_list_of_drivers(town: Plaza) -> None:
    before = (await town.rest.get("/drivers"))["items"]
    await batch(town)
    assert (await town.rest.get("/drivers"))["items"] == before


@pytest.mark.parametrize(
    "change",
    [
        {"count": 0},
        {"count": 10_001},
        {"product": "nothing"},
        {"redeem_until": "2026-11-20T12:00:00Z"},
        {"funded_by": "provider"},
        {"funded_by": "nobody"},
        {"note": ""},
        {"id": "a b"},
    ],
)
async def test_a_batch_that_cannot_be_is_refused(town: Plaza, change: dict[str, Any]) -> None:
    assert (await batch(town, **change)).status == 422
    assert await town.count("voucher_batch") == await town.count("voucher_gift") == 0


async def test_a_redeemed_code_is_a_voucher_that_nobody_paid_for_and_nobody_gets_money_for(town: Plaza) -> None:
    code = (await batch(town)).json["codes"][0]
    town.later(24 * 60)
    first = await redeem(town, code.lower().replace("-", " "), key="k")
    again = await redeem(town, code.lower().replace("-", " "), key="k")
    assert first.status == 201, first.body
    assert (again.status, again.json) == (201, first.json)
    voucher = first.json
    assert (voucher["driver"], voucher["gift"], voucher["valid"], voucher["left"]) == ("ann", True, True, 2_000)
    assert (voucher["valid_from"], voucher["valid_until"]) == ("2026-11-21T12:00:00.000Z", "2026-12-21T12:00:00.000Z")
    assert (voucher["deferred"]["minor"], voucher["refund"]) == (0, "none")
    assert (await town.ask("ann", "POST", f"/drivers/me/vouchers/{voucher['id']}/refund")).status == 409
    assert (await redeem(town, code)).status == 409  # the same driver, asked anew
    assert (await redeem(town, code, "bob")).status == 409
    assert await shown(town) == (3, 1, 0, 0)


async def test_staff_redeem_for_a_driver_and_a_providers_staff_do_not(town: Plaza) -> None:
    first, second, _ = (await batch(town)).json["codes"]
    path, scopes = "/drivers/ann/vouchers/redeem", ("drivers:write",)
    done = await town.ask("staff", "POST", path, {"code": first}, scopes=scopes)
    assert (done.status, done.json["driver"]) == (201, "ann"), done.body
    assert (await town.ask("staff", "POST", path, {"code": second}, scopes=scopes, provider="P")).status == 404
    assert (await town.ask("staff", "POST", path.replace("ann", "eve"), {"code": second})).status == 409  # is blocked
    assert (await town.ask("staff", "POST", path.replace("ann", "nobody"), {"code": second})).status == 404


async def test_what_is_used_of_a_gift_is_paid_by_whoever_gave_it(town: Plaza) -> None:
    code = (await batch(town)).json["codes"][0]
    await redeem(town, code)
    mine = await town.pack()
    town.later(60)
    await town.told("in", 7, {4: swaps.state(mine, 2_000, 1_070)})
    found = (await town.ask("staff", "GET", "/voucher-batches/spring")).json
    assert found["funded"]["minor"] == 5_340
    account = await town.rest.get("/ledger/accounts/operator:campaigns")
    assert account["balances"] == [{"amount": "-5340", "currency": "KRW", "minor": -5_340}]
    assert (await town.rest.get("/reports/voucher-liability"))["items"] == []
    assert (await town.rest.get("/reports/vouchers"))["items"] == []


async def test_a_typing_error_is_told_without_counting_as_a_guess(town: Plaza) -> None:
    code = (await batch(town)).json["codes"][0]
    wrong = ("3" if code[0] == "2" else "2") + code[1:]
    for _ in range(CODES_MAX + 1):
        reply = await redeem(town, wrong)
        assert reply.status == 422 and reply.json["errors"][0]["pointer"] == "/code", reply.body
    assert (await redeem(town, code)).status == 201


async def test_who_guesses_codes_has_to_wait_and_nobody_else(town: Plaza) -> None:
    first, second = (await batch(town)).json["codes"][:2]
    for number in range(CODES_MAX):
        assert (await redeem(town, gift_code.make(number))).status == 404
    banned = await redeem(town, first)  # also a right one
    assert banned.status == 429 and 0 < int(banned.headers["Retry-After"]) <= 601
    for_ann = await town.ask("staff", "POST", "/drivers/ann/vouchers/redeem", {"code": first})
    assert for_ann.status == 429  # whoever asks for that driver
    assert (await redeem(town, second, "bob")).status == 201


async def test_of_many_who_redeem_one_code_at_once_one_has_it(town: Plaza) -> None:
    code = (await batch(town)).json["codes"][0]
    replies = await asyncio.gather(*[redeem(town, code, who) for who in ("ann", "bob") * 4])
    assert sorted(reply.status for reply in replies) == [201] + [409] * 7
    assert await shown(town) == (3, 1, 0, 0)


async def test_codes_that_are_taken_back_or_too_late_are_gone(town: Plaza) -> None:
    used, late, _ = (await batch(town)).json["codes"]
    await redeem(town, used)
    assert (await batch(town, id="other", redeem_until="2026-11-20T13:00:00Z")).status == 201
    back = await town.ask("staff", "POST", "/voucher-batches/spring/revoke", scopes=("tariff:write",))
    assert (back.status, back.json["revoked"], back.json["redeemed"]) == (200, 2, 1), back.body
    again = await town.ask("staff", "POST", "/voucher-batches/spring/revoke")
    assert again.json == back.json
    gone = await redeem(town, late, "bob")
    assert gone.status == 410 and "taken back" in gone.json["detail"]
    town.later(60)
    assert (await town.ask("staff", "GET", "/voucher-batches/other")).json["expired"] == 3
    assert (await town.ask("staff", "POST", "/voucher-batches/nothing/revoke")).status == 404


async def test_a_provider_gives_away_its_own_products_at_its_own_cost(town: Plaza) -> None:
    mine = await batch(town, product="own", provider="P")
    assert (mine.status, mine.json["funded_by"], mine.json["provider"]) == (201, "provider", "P"), mine.body
    assert (await batch(town, id="b", product="m", provider="P")).status == 422
    assert (await batch(town, id="b", product="own", funded_by="operator", provider="P")).status == 422
    operators = await batch(town, id="op", product="own", funded_by="operator")
    assert operators.status == 201
    refused = await town.ask("staff", "POST", "/voucher-batches/op/revoke", provider="P", scopes=("tariff:write",))
    assert refused.status == 403
    back = await town.ask("staff", "POST", "/voucher-batches/spring/revoke", provider="P", scopes=("tariff:write",))
    assert (back.status, back.json["revoked"]) == (200, 3), back.body


async def test_a_code_starts_a_session_from_afar(seeded: Rest) -> None:
    seeded.connect("S1")
    price = {"minor": 5_000, "currency": "KRW"}
    product = {"id": "m", "name": "Gift", "unit": "wh", "amount": 9_000, "price": price, "valid_days": 7}
    await seeded.post("/voucher-products", product)
    asked = {"product": "m", "count": 1, "redeem_until": UNTIL}
    keyed = {"Authorization": f"Bearer {await seeded.token('tariff:write')}", "Idempotency-Key": "k"}
    made = (await seeded.raw("POST", f"{PREFIX}/voucher-batches", json=asked, headers=keyed)).json
    start = {"station": "S1", "connector": 1, "token": made["codes"][0]}
    command = await seeded.post("/sessions", start)
    assert command["state"] != "refused", command
    async with seeded.pool.acquire() as conn:
        assert await conn.fetchval("select count(*) from token where type = 'remote' and driver_id like 'gift-%'") == 1


async def test_who_may_only_read_makes_no_codes(town: Plaza) -> None:
    body = {"product": "m", "count": 1, "redeem_until": UNTIL}
    assert (await town.ask("staff", "POST", "/voucher-batches", body, scopes=("drivers:write",))).status == 403
    assert (await town.ask("ann", "POST", "/voucher-batches", body)).status == 404
    assert (await town.ask("ann", "GET", "/voucher-batches")).status == 404
    assert (await town.ask("ann", "POST", "/drivers/bob/vouchers/redeem", {"code": gift_code.make(1)})).status == 404
