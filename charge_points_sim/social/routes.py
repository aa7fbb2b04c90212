"""The addresses of the social-payment server: which rule or look-up answers each."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from aiohttp import web

from charge_points_sim.social import requests as ask
from charge_points_sim.social import returns
from charge_points_sim.social.book import Book
from charge_points_sim.social.faults import Faults
from charge_points_sim.social.state import Json, State
from charge_points_sim.social.statements import statement
from charge_points_sim.social.totals import journal_page, journal_totals
from charge_points_sim.social.webhooks import Webhooks

Rule = Callable[[str, str, Any, str], Json]
"""(idempotency key, id in the path, request, how it is forced to go: `decline`, `pending` or "") -> answer."""

Look = Callable[[web.Request], Json | None]

DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def rules(book: Book, faults: Faults, webhooks: Webhooks) -> list[tuple[str, str, str, Any, Rule]]:
    """(method, path, operation, request type, rule). Operation "" takes no idempotency key and knows no fault."""

    def declinable(rule: Callable[[str, Any, bool], Json]) -> Rule:
        return lambda key, _, asked, how: rule(key, asked, how == "decline")

    def of_payment(rule: Callable[[str, str, Any, bool], Json]) -> Rule:
        return lambda key, id_, asked, how: rule(key, id_, asked, how == "decline")

    return [
        ("POST", "/v1/payments/authorize", "authorize", ask.Authorize, declinable(book.authorize)),
        ("POST", "/v1/payments/confirm", "confirm", ask.Authorize, declinable(book.confirm)),
        ("POST", "/v1/payments/{id}/capture", "capture", ask.Capture, of_payment(book.capture)),
        ("POST", "/v1/payments/{id}/cancel", "cancel", ask.Cancel, of_payment(book.cancel)),
        (
            "POST",
            "/v1/payments/{id}/refunds",
            "refund",
            ask.Refund,
            lambda k, i, r, h: returns.refund(book, k, i, r, h),
        ),
        (
            "POST",
            "/v1/billing/authorizations/issue",
            "billing_key",
            ask.IssueBillingKey,
            declinable(book.issue_billing_key),
        ),
        ("POST", "/v1/billing/{id}", "charge", ask.Charge, of_payment(book.charge)),
        ("POST", "/v1/settlements", "settle", ask.Settle, declinable(book.settle)),
        ("POST", "/v1/payouts", "payout", ask.Payout, lambda k, i, r, h: returns.payout(book, k, r, h)),
        ("POST", "/v1/sellers", "", ask.Seller, lambda k, i, r, h: book.register_seller(r)),
        ("POST", "/admin/subjects", "", ask.Subject, lambda k, i, r, h: book.set_subject(r)),
        ("POST", "/admin/clock", "", ask.Clock, lambda k, i, r, h: book.set_clock(r)),
        ("POST", "/admin/refunds/{id}", "", ask.Ended, lambda k, i, r, h: returns.end_refund(book, i, r)),
        ("POST", "/admin/payouts/{id}", "", ask.Ended, lambda k, i, r, h: returns.end_payout(book, i, r)),
        ("POST", "/admin/chargebacks", "", ask.Chargeback, lambda k, i, r, h: returns.charge_back(book, r)),
        ("POST", "/admin/chargebacks/{id}", "", ask.Ended, lambda k, i, r, h: returns.end_chargeback(book, i, r)),
        ("POST", "/admin/webhooks", "", ask.Webhook, lambda k, i, r, h: webhooks.set_target(r)),
        ("POST", "/admin/faults", "", ask.Fault, lambda k, i, r, h: faults.switch_on(r)),
        ("DELETE", "/admin/faults", "", None, lambda k, i, r, h: faults.clear()),
    ]


def looks(state: State, faults: Faults, fee_bp: int) -> list[tuple[str, str, str, Look]]:
    """(method, path, operation, look-up): the answers without effect; None is a 404."""

    def payment(request: web.Request) -> Json | None:
        found = state.payments.get(request.match_info["id"])
        return None if found is None else found.as_json()

    def payment_of_order(request: web.Request) -> Json | None:
        found = state.payment_of_order.get(request.match_info["id"])
        return None if found is None else found.as_json()

    def of_day(request: web.Request) -> Json | None:
        day = request.match_info["id"]
        return statement(state, day, fee_bp) if DAY.fullmatch(day) else None

    def among(things: dict[str, Json]) -> Look:
        return lambda request: things.get(request.match_info["id"])

    return [
        ("GET", "/v1/payments/orders/{id}", "get", payment_of_order),
        ("GET", "/v1/payments/{id}", "get", payment),
        ("GET", "/v1/billing/orders/{id}", "get", among(state.billing_key_of_order)),
        ("GET", "/v1/settlements/orders/{id}", "get", among(state.settlement_of_order)),
        ("GET", "/v1/refunds/orders/{id}", "get", among(state.refunds)),
        ("GET", "/v1/payouts/orders/{id}", "get", among(state.payouts)),
        ("GET", "/v1/chargebacks/{id}", "get", among(state.chargebacks)),
        ("GET", "/v1/statements/{id}", "statement", of_day),
        ("GET", "/v1/sellers", "", lambda r: {"sellers": list(state.sellers.values())}),
        ("GET", "/v1/journal", "", lambda r: journal_page(state, r.query)),
        ("GET", "/v1/journal/totals", "", lambda r: journal_totals(state)),
        ("GET", "/admin/faults", "", lambda r: faults.as_json()),
    ]
