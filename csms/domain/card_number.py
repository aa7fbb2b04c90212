"""Numbers of payment cards, which are never to be taken, stored or written to a log."""

from __future__ import annotations

import re
import unicodedata

DIGITS_MIN, DIGITS_MAX = 12, 19

_RUN = re.compile(r"[0-9]+(?:[\s.\-]+[0-9]+)*")
_GROUP = re.compile(r"[0-9]+")


def has_card_number(text: str) -> bool:
    """
    Whether text holds what looks like a card number: 12 to 19 digits that pass the check of Luhn.

    Blanks, dashes and points may stand between them, other digits (an expiry, a code) before and after.
    """
    plain = "".join("-" if unicodedata.category(character) == "Pd" else character for character in text)
    plain = unicodedata.normalize("NFKC", plain)
    return any(_holds(_GROUP.findall(run)) for run in _RUN.findall(plain))


def _holds(groups: list[str]) -> bool:
    """Any groups of digits that stand side by side may be the number."""
    for first in range(len(groups)):
        digits = ""
        for group in groups[first:]:
            digits += group
            if len(digits) > DIGITS_MAX:
                break
            if len(digits) >= DIGITS_MIN and passes_luhn(digits):
                return True
    return False


def passes_luhn(digits: str) -> bool:
    """The check digit of ISO/IEC 7812: every second digit from the right is doubled."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (1 + place % 2)
        total += number - 9 if number > 9 else number
    return total % 10 == 0
