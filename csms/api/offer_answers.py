"""What is said of a voucher that may be bought: in figures, in codes with numbers, in words."""

from __future__ import annotations

from csms.api.shapes import Answer, Money, money
from csms.domain import offer_words
from csms.domain.offer_words import Known, Language
from csms.domain.offers import Offer


class Reason(Answer):
    """Why: a code that stays the same, and its numbers (money in minor units, shares as decimal text)."""

    code: str
    numbers: dict[str, int | str]


class Figures(Answer):
    """
    What a product would have meant on how a driver charged, for the days that it is valid, its price taken off.

    `expected` is the mean over `windows` periods, rounded down, `worst` the least, `gain` the share of periods in
    which money was saved. `extrapolated`: less is known than it is valid for. `covered_wh` (null for what is not
    counted in Wh) of `used_wh` are what it covers in the mean.
    """

    product: str
    version: int | None
    price: Money
    expected: Money
    worst: Money
    gain: str
    recommended: bool
    extrapolated: bool
    windows: int
    confidence: str
    covered_wh: int | None
    used_wh: int
    reasons: list[Reason]
    text: str


def figures(offer: Offer, known: Known, language: Language) -> dict[str, object]:
    """The fields of `Figures`; a product that is not stored has version 0, told as null."""
    product = offer.product
    return {
        "product": product.id,
        "version": product.version or None,
        "price": money(product.price_minor, product.currency),
        "expected": money(offer.expected, product.currency),
        "worst": money(offer.worst, product.currency),
        "gain": offer_words.share_text(offer.gain),
        "recommended": offer.recommended,
        "extrapolated": offer.extrapolated,
        "windows": offer.windows,
        "confidence": known.confidence,
        "covered_wh": offer.covered if product.unit == "wh" else None,
        "used_wh": offer.used,
        "reasons": [Reason(code=code, numbers=numbers) for code, numbers in offer_words.reasons(offer, known)],
        "text": offer_words.text(offer, known, language),
    }
