"""OCPP 2.1 sessions: as 2.0.1, and stations that keep the limits of a session themselves are told them."""

from __future__ import annotations

import msgspec

from csms.domain.events import Outcome
from csms.ocpp.calls import Call
from csms.ocpp.v21.tariff import tariff_of
from csms.ocpp.v201 import charging


def id_token_info(outcome: Outcome, call: Call) -> bytes:
    """The answer to Authorize, with the `tariff` of a driver whom a voucher makes it cheaper for (2.1, block I)."""
    answer = charging.id_token_info(outcome, call)
    told = None if outcome.own is None or outcome.status != "accepted" else tariff_of(outcome.own)
    return answer if told is None else answer[:-1] + b',"tariff":%b}' % msgspec.json.encode(told)


def transaction_answer(outcome: Outcome, call: Call) -> bytes:
    """
    The answer to TransactionEvent, with `transactionLimit` where the station keeps one and it is news to it.

    Told with the first answer, and again when more was set aside, so that a suspended session goes on.
    """
    answer = charging.transaction_answer(outcome, call)
    if call.tx_limits is None or call.payload is None:
        return answer
    info = call.payload.transactionInfo
    if call.payload.eventType == "Ended":
        call.tx_limits.forget(info.transactionId)
        return answer
    part = call.tx_limits.news(info.transactionId, outcome.limit)
    if part is None:
        return answer
    return b'{"transactionLimit":%b%b' % (part, b"}" if answer == b"{}" else b"," + answer[1:])
