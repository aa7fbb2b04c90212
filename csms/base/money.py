"""Money as whole minor units with a currency, and the one rounding rule. No float comes near it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import lru_cache
from types import MappingProxyType

from csms.base.errors import Refused

SCALES: Mapping[str, int] = MappingProxyType(
    {
        "AUD": 2,
        "CAD": 2,
        "CHF": 2,
        "CNY": 2,
        "CZK": 2,
        "DKK": 2,
        "EUR": 2,
        "GBP": 2,
        "HKD": 2,
        "IDR": 2,
        "INR": 2,
        "JPY": 0,
        "KRW": 0,
        "MYR": 2,
        "NOK": 2,
        "NZD": 2,
        "PHP": 2,
        "PLN": 2,
        "SEK": 2,
        "SGD": 2,
        "THB": 2,
        "TWD": 2,
        "USD": 2,
        "VND": 0,
    }
)
"""Decimal places of each currency we take (ISO 4217)."""

MINOR_MAX = 2**62
"""No amount is larger: sums of two still fit PostgreSQL's bigint."""

EXACT_PLACES_MAX = 18
"""Decimals written of an amount that has no end in decimals (one third)."""

_MINOR_PER_UNIT = (1, 10, 100, 1_000)
_DIGITS_MAX = 24
_AMOUNT = re.compile(rf"-?[0-9]{{1,{_DIGITS_MAX}}}(?:\.[0-9]{{1,{_DIGITS_MAX}}})?")


def scale(currency: str) -> int:
    """Decimal places of `currency`; Refused when we do not know it."""
    try:
        return SCALES[currency]
    except KeyError:
        raise Refused(unknown_currency(currency), "/currency") from None


def unknown_currency(currency: object) -> str:
    """Why this is no currency, in words for people; those who only write it small are told so."""
    if isinstance(currency, str) and currency.upper() in SCALES:
        return f"the currency {currency!r} is written in capitals: {currency.upper()}"
    return f"the currency {currency!r} is not known; known are {', '.join(SCALES)}"


def half_up(numerator: int, denominator: int) -> int:
    """The integer nearest to a ratio, which need not be in lowest terms; a half goes away from zero."""
    assert denominator > 0
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude


def to_minor(exact: Fraction, currency: str) -> int:
    """`exact` units of the currency (euros, won) as minor units, rounded half up."""
    return half_up(exact.numerator * _MINOR_PER_UNIT[scale(currency)], exact.denominator)


def from_minor(minor: int, currency: str) -> Fraction:
    """Minor units as exact units of the currency: 370 USD cents are 37/10."""
    return Fraction(minor, _MINOR_PER_UNIT[scale(currency)])


def decimal_text(minor: int, currency: str) -> str:
    """`3704` for 3704 minor units of KRW, `37.04` for as many of USD."""
    places = scale(currency)
    if places == 0:
        return str(minor)
    whole, rest = divmod(abs(minor), 10**places)
    return f"{'-' if minor < 0 else ''}{whole}.{rest:0{places}d}"


def exact_text(exact: Fraction | int) -> str:
    """
    An unrounded amount as decimal text: `5.625`.

    An amount without an end in decimals is written with 18 of them, the last rounded half up.
    """
    if exact.denominator == 1:
        return str(exact.numerator)
    places = _places(exact.denominator)
    scaled = half_up(exact.numerator * 10**places, exact.denominator)
    whole, decimals = divmod(abs(scaled), 10**places)
    return f"{'-' if scaled < 0 else ''}{whole}.{decimals:0{places}d}"


@lru_cache(maxsize=1024)
def _places(denominator: int) -> int:
    """The decimals that a fraction of this denominator needs, 18 at most. Few denominators come back often."""
    rest, twos, fives = denominator, 0, 0
    while rest % 2 == 0:
        rest, twos = rest // 2, twos + 1
    while rest % 5 == 0:
        rest, fives = rest // 5, fives + 1
    return min(max(twos, fives), EXACT_PLACES_MAX) if rest == 1 else EXACT_PLACES_MAX


def parse_amount(amount: object, currency: str, field: str = "/amount") -> int:
    """
    Minor units of an amount that a person wrote: text, an integer or a Decimal, never a float.

    Refused when it is not a number, is larger than `MINOR_MAX`, or has more decimals than the
    currency (trailing zeros do not count).
    """
    if isinstance(amount, bool) or not isinstance(amount, str | int | Decimal):
        raise Refused('write the amount as text, for example "3704"', field)
    text = format(amount, "f") if isinstance(amount, Decimal) else str(amount)
    if not _AMOUNT.fullmatch(text):
        most = f"at most {_DIGITS_MAX} digits on each side of it"
        raise Refused(f"{text[:40]!r} is not an amount; write digits and at most one point, {most}", field)
    minor = Fraction(text) * _MINOR_PER_UNIT[scale(currency)]
    if minor.denominator != 1:
        raise Refused(f"{text} has more decimals than {currency} has ({scale(currency)})", field)
    if abs(minor.numerator) > MINOR_MAX:
        raise Refused(f"{text} is too large", field)
    return minor.numerator


@dataclass(frozen=True, slots=True)
class Money:
    """An amount: `minor` is in the smallest unit of `currency` (won, cents). Refused when the currency is unknown."""

    minor: int
    currency: str

    def __post_init__(self) -> None:
        scale(self.currency)

    def as_json(self) -> dict[str, str | int]:
        """The form of the REST interface: `{"amount": "3704", "currency": "KRW", "minor": 3704}`."""
        amount = decimal_text(self.minor, self.currency)
        return {"amount": amount, "currency": self.currency, "minor": self.minor}

    @staticmethod
    def parse(document: object, field: str = "") -> Money:
        """
        Read what `as_json` writes; `amount` or `minor` may be missing, together they must agree.

        `field` is the JSON pointer of the document, for the reason of a refusal.
        """
        if not isinstance(document, Mapping):
            raise Refused('money is an object such as {"amount": "3704", "currency": "KRW"}', field)
        unknown = set(document) - {"amount", "currency", "minor"}
        if unknown:
            first = min(str(name) for name in unknown)
            raise Refused("money has the keys amount, currency and minor only", f"{field}/{first}")
        currency = document.get("currency")
        if not isinstance(currency, str) or currency not in SCALES:
            raise Refused(unknown_currency(currency), f"{field}/currency")
        amount, minor = document.get("amount"), document.get("minor")
        if minor is not None and (isinstance(minor, bool) or not isinstance(minor, int) or abs(minor) > MINOR_MAX):
            raise Refused("minor is a whole number of the smallest unit", f"{field}/minor")
        if amount is None:
            if minor is None:
                raise Refused("an amount is missing", f"{field}/amount")
            return Money(minor, currency)
        read = parse_amount(amount, currency, f"{field}/amount")
        if minor is not None and minor != read:
            raise Refused(f"amount {amount} and minor {minor} are not the same money", f"{field}/minor")
        return Money(read, currency)
