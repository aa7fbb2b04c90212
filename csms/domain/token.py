"""Tokens: one spelling for all the ways stations write them, and whether a known token may be used."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from datetime import datetime
from typing import Literal

from csms.domain import gift_code

HEX_DIGITS_MIN = 8
"""Fewer hex digits may as well be a word (`cafe`) or a number: left as text."""

MASK_LENGTH_MIN = 8
"""A shorter token shows nothing in logs: four of its characters would be most of it."""

_HEX = re.compile(r"[0-9a-f]+")
_SEPARATORS = str.maketrans("", "", ":- ")

Decision = Literal["accepted", "blocked", "expired", "invalid"]


def canonical(text: str) -> str:
    """
    The one spelling of a token, whichever reader or station wrote it (quirks Q-I01, Q-I02, Q-I03).

    Control characters and outer blanks go. An even number of at least 8 hex digits, with or
    without `:`, `-` or blanks between them, becomes upper-case hex; anything else is casefolded.
    The byte order is never guessed. A gift code loses the hyphens it was printed with. Answers "" when nothing is left.
    """
    if not (text.isascii() and text.isprintable()):
        text = "".join(character for character in text if unicodedata.category(character)[0] != "C")
    folded = text.casefold().strip()
    digits = folded.translate(_SEPARATORS)
    if len(digits) >= HEX_DIGITS_MIN and len(digits) % 2 == 0 and _HEX.fullmatch(digits):
        return digits.upper()
    if len(folded) == gift_code.GROUPED_LENGTH and (code := gift_code.read(folded)) is not None:
        return code.casefold()
    return folded


def key(canonical_text: str) -> bytes:
    """What a token is looked up by: the SHA-256 of its canonical text, 32 bytes."""
    return hashlib.sha256(canonical_text.encode()).digest()


def masked(canonical_text: str) -> str:
    """For logs and staff: the first and last two characters at most."""
    if len(canonical_text) < MASK_LENGTH_MIN:
        return "..."
    return f"{canonical_text[:2]}...{canonical_text[-2:]}"


def decide(status: str | None, expires_at: datetime | None, now: datetime) -> Decision:
    """
    Whether a token of ours may be used at `now`.

    `status` is its row's (`accepted`, `blocked`, `expired`, `invalid`), None when there is no such
    token. It may be used before `expires_at`, not at it. Staff's word comes before the date.
    """
    match status:
        case "accepted":
            return "expired" if expires_at is not None and expires_at <= now else "accepted"
        case "blocked" | "expired":
            return status
        case "invalid" | None:
            return "invalid"
        case _:
            raise AssertionError(status)
