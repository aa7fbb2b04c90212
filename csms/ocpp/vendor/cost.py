"""
OCPP 1.6: DataTransfer of vendor `org.openchargealliance.costmsg`, what stations show of prices and costs.

As in the Open Charge Alliance's paper on the California pricing requirements: prices are per hour, with
tax, in the currency that the station is set to. A station that does not know it answers `UnknownVendorId`.
"""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

from csms.base.clock import rfc3339
from csms.base.money import decimal_text, exact_text, from_minor, half_up
from csms.domain.quote import Prices, Running

VENDOR = "org.openchargealliance.costmsg"
PRICE_PLACES = 4
Payload = dict[str, Any]


def user_price(token: str, prices: Prices, currency: str) -> Payload:
    """SetUserPrice: what a driver will pay, in words, for the holder of this tag."""
    return _transfer("SetUserPrice", {"idToken": token, "priceText": price_text(prices, currency)})


def running_cost(ref: str, running: Running) -> Payload:
    """RunningCost: what a session has cost so far, and the prices that apply now."""
    prices = running.prices
    body: Payload = {
        "transactionId": int(ref),
        "timestamp": rfc3339(running.at),
        "meterValue": running.meter_wh,
        "cost": number(from_minor(running.minor, running.currency)),
        "state": "Charging" if running.charging else "Idle",
        "idlePrice": {"hourPrice": number(prices.parking_hour)},
    }
    if running.charging:
        told = {"kWhPrice": prices.kwh, "hourPrice": prices.hour, "flatFee": prices.flat}
        body["chargingPrice"] = {name: number(price) for name, price in told.items()}
    return _transfer("RunningCost", body)


def final_cost(ref: str, minor: int, currency: str) -> Payload:
    """FinalCost: the fee of a session that is over."""
    cost = number(from_minor(minor, currency))
    text = f"{decimal_text(minor, currency)} {currency}"
    return _transfer("FinalCost", {"transactionId": int(ref), "cost": cost, "priceText": text})


def price_text(prices: Prices, currency: str) -> str:
    """Prices in words: `320 KRW/kWh, 100 KRW once`."""
    told = (
        (prices.kwh, "/kWh"),
        (prices.hour, "/h"),
        (prices.parking_hour if prices.parking_hour != prices.hour else Fraction(0), "/h parked"),
        (prices.flat, " once"),
    )
    parts = [f"{exact_text(_rounded(price))} {currency}{unit}" for price, unit in told if price]
    return ", ".join(parts) or "free"


def number(exact: Fraction) -> int | float:
    """A price or a cost as a JSON number."""
    rounded = _rounded(exact)
    return rounded.numerator if rounded.denominator == 1 else float(rounded)


def _rounded(exact: Fraction) -> Fraction:
    scale: int = 10**PRICE_PLACES
    return Fraction(half_up(exact.numerator * scale, exact.denominator), scale)


def _transfer(message: str, body: Payload) -> Payload:
    """1.6 carries `data` as text."""
    return {"vendorId": VENDOR, "messageId": message, "data": json.dumps(body)}
