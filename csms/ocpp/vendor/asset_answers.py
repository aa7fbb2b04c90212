"""Answers of the vendor protocol `org.csms.assets`: an OCPP status, and `data` with the message's own id."""

from __future__ import annotations

import json
from typing import Any, Literal

from csms.base.clock import rfc3339
from csms.domain.asset_events import AssetAnswer
from csms.domain.events import Outcome
from csms.domain.voucher_asks import VoucherAnswer
from csms.ocpp.calls import Call
from csms.ocpp.vendor.bodies import VERSION

NO_ANSWER = "Busy"
"""The error of a request about which the rules said nothing: it could not be stored, and may be asked again."""


def accepted(call: Call, body_id: str, **fields: object) -> bytes:
    """Stored, or granted."""
    return _answer(call, "Accepted", {"v": VERSION, "id": body_id, **fields})


def refused(call: Call, body_id: str, error: str) -> bytes:
    """Not done, for a reason that the protocol has a code for."""
    return _answer(call, "Rejected", {"v": VERSION, "id": body_id, "err": error})


def event_answer(call: Call, body_id: str, outcome: Outcome) -> bytes:
    """An event is Accepted once it is stored, also with an error: the fact happened, whatever we think of it."""
    return accepted(call, body_id, **_fields(outcome.asset or AssetAnswer()))


def request_answer(call: Call, body_id: str, outcome: Outcome) -> bytes:
    """A request is Accepted or Rejected."""
    fields = _fields(outcome.asset or AssetAnswer(error=NO_ANSWER))
    return _answer(call, "Rejected" if "err" in fields else "Accepted", {"v": VERSION, "id": body_id, **fields})


def voucher_answer(call: Call, body_id: str, answer: VoucherAnswer) -> bytes:
    """Offers, or what was bought: its price under `bill`, valid until `exp`."""
    if answer.error is not None:
        return refused(call, body_id, answer.error)
    fields: dict[str, object] = {} if answer.expires_at is None else {"exp": rfc3339(answer.expires_at)}
    if answer.voucher_id is None:
        offers = [{"offer": o.id, "name": o.name, "fee": o.fee_minor, "currency": o.currency} for o in answer.offers]
        return accepted(call, body_id, offers=offers, **fields)
    bill = {"ref": answer.voucher_id, "fee": answer.fee_minor, "currency": answer.currency}
    return accepted(call, body_id, bill=bill, **fields)


def _fields(answer: AssetAnswer) -> dict[str, Any]:
    """What the rules answered, as fields of the wire; none for what they did not say."""
    bill = answer.bill
    fields = {
        "err": answer.error,
        "dup": answer.repeated or None,
        "gid": None if answer.grant_id is None else str(answer.grant_id),
        "u": answer.unit,
        "exp": None if answer.expires_at is None else rfc3339(answer.expires_at),
        "rid": answer.rid,
        "out": list(answer.units_out) or None,
        "bill": None if bill is None else {"ref": bill.ref, "fee": bill.fee_minor, "currency": bill.currency},
    }
    return {name: value for name, value in fields.items() if value is not None}


def _answer(call: Call, status: Literal["Accepted", "Rejected"], body: dict[str, Any]) -> bytes:
    """On 1.6 `data` is JSON as text, on 2.x an object, with the error as a reason code too."""
    as_text = call.version == "ocpp1.6"
    answer: dict[str, Any] = {"status": status, "data": json.dumps(body) if as_text else body}
    if "err" in body and not as_text:
        answer["statusInfo"] = {"reasonCode": body["err"]}
    return json.dumps(answer).encode()
