"""The account of one day: every movement of the merchant's money, read from the journal."""

from __future__ import annotations

from collections.abc import Callable

from charge_points_sim.social.state import Entry, Json, State

KINDS = {"cancel": "refund", "refund": "refund", "refund_end": "refund", "payout": "payout", "payout_end": "payout"}


def statement(state: State, day: str, fee_bp: int) -> Json:
    """The lines of `day` (YYYY-MM-DD, UTC), in order. `fee_bp`: what the server keeps of payments, basis points."""
    lines = []
    held: set[str] = set()
    for entry in state.entries:
        operation = entry["operation"]
        if operation == "authorize" and entry["status"] == "AUTHORIZED":
            held.add(entry["payment_key"])
        releases = operation == "cancel" and entry["payment_key"] in held
        if operation in ("capture", "cancel"):
            held.discard(entry["payment_key"])
        read = READERS.get(operation)
        if read is None or releases or entry.get("status") == "ABORTED" or entry["at"][:10] != day:
            continue
        amount = read(entry)
        if amount:
            lines.append(_line(state, entry, amount, fee_bp))
    return {"day": day, "lines": lines}


def _line(state: State, entry: Entry, amount: int, fee_bp: int) -> Json:
    operation = entry["operation"]
    kind = KINDS.get(operation, "payment")
    if operation == "settle":
        kind = "settlement"
    elif operation.startswith("chargeback"):
        kind = "chargeback"
    order = entry.get("order_id")
    if operation == "capture":
        order = state.payments[entry["payment_key"]].order_id
    elif operation == "cancel":
        order = None
    return {
        "seq": entry["seq"],
        "at": entry["at"],
        "kind": kind,
        "ref": _ref(state, entry),
        "orderId": order,
        "amount": amount,
        "fee": amount * fee_bp // 10_000 if kind == "payment" else 0,
        "currency": entry.get("currency") or state.payments[entry["payment_key"]].currency,
    }


def _ref(state: State, entry: Entry) -> str:
    """The server's name of what moved."""
    match entry["operation"]:
        case "refund" | "refund_end":
            return str(state.refunds[entry["order_id"]]["refundId"])
        case "payout" | "payout_end":
            return str(state.payouts[entry["order_id"]]["payoutId"])
        case "settle":
            return str(entry["settlement_id"])
        case "chargeback" | "chargeback_end":
            return str(entry["dispute_id"])
        case _:
            return str(entry["payment_key"])


def _came_back(entry: Entry) -> int:
    """A refund or payout that failed is money that is there again; one that arrives had left before."""
    return int(entry["amount"]) if entry["status"] == "FAILED" else 0


def _in(entry: Entry) -> int:
    return int(entry["amount"])


def _out(entry: Entry) -> int:
    return -int(entry["amount"])


READERS: dict[str, Callable[[Entry], int]] = {
    **dict.fromkeys(("charge", "confirm", "capture"), _in),
    **dict.fromkeys(("cancel", "refund", "payout", "chargeback"), _out),
    "settle": lambda entry: -int(entry["fee"]),
    "refund_end": _came_back,
    "payout_end": _came_back,
    "chargeback_end": lambda entry: int(entry["amount"]) if entry["status"] == "WON" else 0,
}
"""Operation -> what it moved: above 0 to the merchant, below 0 away, 0 nothing."""
