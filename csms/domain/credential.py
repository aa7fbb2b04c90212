"""What proves a station: its key, in the one form that is compared and stored (quirk Q-H06)."""

from __future__ import annotations

import hashlib
import hmac
import re

KEY_BYTES = 20
"""Length of a key that we generate: 40 hex digits, the longest a 1.6 `AuthorizationKey` holds."""

KEY_BYTES_MAX = 255
"""The longest key that is looked at."""

_HEX = re.compile(rb"(?:[0-9A-Fa-f]{2}){16,}")


def canonical_key(key: bytes) -> bytes:
    """
    The key behind what a person configured or a station sent (callers refuse more than `KEY_BYTES_MAX` bytes).

    Some stations send the hex text of their key and some the bytes it stands for, so text of an even
    number of at least 32 hex digits means its bytes; anything else means itself.
    """
    return bytes.fromhex(key.decode("ascii")) if _HEX.fullmatch(key) else key


def seal(pepper: bytes, canonical: bytes) -> bytes:
    """The 32 bytes stored instead of a key: HMAC-SHA256 under the installation's pepper."""
    return hmac.digest(pepper, canonical, hashlib.sha256)


def opens(pepper: bytes, sealed: bytes, presented: bytes) -> bool:
    """
    Whether `presented` is the key behind `sealed`.

    Two candidates are always compared, the bytes as they came and what they canonically mean, in a
    time that tells nothing of either.
    """
    raw = hmac.compare_digest(seal(pepper, presented), sealed)
    canonical = hmac.compare_digest(seal(pepper, canonical_key(presented)), sealed)
    return raw or canonical
