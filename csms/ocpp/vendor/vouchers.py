"""Vouchers in `org.csms.assets`: a vehicle asks at a station for offers, and takes one."""

from __future__ import annotations

from functools import partial

from csms.domain.voucher_asks import VoucherAsk
from csms.ocpp.calls import Call, Consult, Reply
from csms.ocpp.vendor import asset_answers
from csms.ocpp.vendor.reports import body_of


def asked(call: Call) -> Consult | Reply:
    """
    `Voucher.Inquire` and `Voucher.Purchase`: answered beside the road, which nothing of it concerns.

    A gateway without vouchers does not know these messages.
    """
    if call.desk.consult is None:
        return Reply(b'{"status":"UnknownMessageId"}')
    body = body_of(call)
    vehicle = body["vehicle"]
    question = VoucherAsk(
        call.station_id, body["id"], vehicle["type"], vehicle["value"], body.get("inquiry"), body.get("offer")
    )
    return Consult(question, partial(asset_answers.voucher_answer, call, body["id"]))
