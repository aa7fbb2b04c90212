"""
Gift codes: how they look, how they are made, and how a typing error is told without asking anybody.

A code is 20 characters (OCPP 1.6 `idTag` takes no more), printed in five groups: `ABCD-EFGH-JKLM-NPQR-STUV`. 19 of
them are random, 5 bits each; the last one is a check character. The alphabet lacks 0, O, 1 and I.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZ"
LENGTH = 20
GROUP = 4
RANDOM_BITS = 5 * (LENGTH - 1)
GROUPED_LENGTH = LENGTH + LENGTH // GROUP - 1

_VALUES = {character: value for value, character in enumerate(ALPHABET)}
_BLANKS = re.compile(r"[\s-]+")
_MODULUS = 0b100101
"""x^5 + x^2 + 1: with it x makes all of GF(32), so that each of 20 places has a weight of its own."""


def make(random_95: int) -> str:
    """The code of 95 random bits (`secrets.randbits(RANDOM_BITS)`), without hyphens."""
    assert 0 <= random_95 < 1 << RANDOM_BITS
    values = [random_95 >> 5 * place & 31 for place in range(LENGTH - 1)]
    return "".join(ALPHABET[value] for value in (*values, _check([*values, 0])))


def read(text: str) -> str | None:
    """
    The code that somebody typed, in capitals and without hyphens and blanks; None where it cannot be one.

    One wrong character and any two that changed places are always found, anything else 31 times in 32.
    """
    code = _BLANKS.sub("", text).upper()
    if len(code) != LENGTH or any(character not in _VALUES for character in code):
        return None
    return code if _check(_VALUES[character] for character in code) == 0 else None


def grouped(code: str) -> str:
    """As it is printed."""
    return "-".join(code[place : place + GROUP] for place in range(0, LENGTH, GROUP))


def _check(values: Iterable[int]) -> int:
    """The sum of the values, each times x as often as others follow it: 0 of a whole code."""
    total = 0
    for value in values:
        total = _times_x(total) ^ value
    return total


def _times_x(value: int) -> int:
    doubled = value << 1
    return doubled ^ _MODULUS if doubled > 31 else doubled
