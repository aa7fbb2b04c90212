"""What a driver with a voucher is shown at a station of OCPP 2.1: a tariff of their own."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from jsonschema import Draft7Validator

from csms.domain.events import Outcome
from csms.domain.quote import Quote
from csms.domain.voucher_prices import with_best
from csms.ocpp import schemas
from csms.ocpp.v21 import charging
from tests.domain.histories import BASE, tariff
from tests.domain.test_voucher_charge import FORTY, NIGHT, voucher


def shown(**fields: Any) -> Any:
    """The answer to Authorize."""
    return json.loads(charging.id_token_info(Outcome("accepted", **fields), None))  # type: ignore[arg-type]


def test_the_price_of_the_best_voucher_comes_first_as_far_as_it_reaches() -> None:
    mine = [voucher(1, left=5_000, effect=FORTY, **NIGHT), voucher(2, left=0)]

    own = with_best(BASE, mine)

    assert own is not None
    answer = shown(own=Quote("T/1/v", own, "Asia/Seoul"))
    first, second = answer["tariff"]["energy"]["prices"]
    assert first["conditions"] == {"startTimeOfDay": "21:00", "endTimeOfDay": "07:00", "maxEnergy": 5_000}
    assert round(first["priceKwh"] * 1.1, 4) == 180
    assert round(second["priceKwh"] * 1.1, 4) == 300
    Draft7Validator(json.loads((schemas.folder("ocpp2.1") / "AuthorizeResponse.json").read_text())).validate(answer)


def test_nothing_is_shown_where_no_voucher_makes_it_cheaper_or_hours_have_prices_already() -> None:
    hours = {"price_components": [{"type": "ENERGY", "price": 1, "vat": 10}], "restrictions": {"start_time": "12:00"}}

    assert with_best(BASE, [voucher(effect={"kind": "flat_rate", "price": 300})]) is None
    assert with_best(BASE, []) is None
    assert with_best(tariff(300, "KRW", hours), [voucher()]) is None
    assert shown() == {"idTokenInfo": {"status": "Accepted"}}
    own = with_best(BASE, [voucher()])
    assert own is not None
    refused = replace(Outcome("invalid"), own=Quote("T/1/v", own, None))
    assert b"tariff" not in charging.id_token_info(refused, None)  # type: ignore[arg-type]
