"""What a cabinet shows and sends to whoever stands before it, made with its secret: proofs of presence."""

from __future__ import annotations

import base64
import hmac
from hashlib import sha256

STEP_S = 30
DIGITS = 8


def secret_of(text: str) -> bytes:
    """A cabinet's secret from the base32 text in which it was handed over."""
    return base64.b32decode(text + "=" * (-len(text) % 8))


def code(secret: bytes, at: int) -> str:
    """What its screen shows at `at` (epoch seconds): RFC 6238 with HMAC-SHA256, 8 digits, steps of 30 s."""
    digest = hmac.digest(secret, (at // STEP_S).to_bytes(8, "big"), sha256)
    offset = digest[-1] & 0x0F
    number = int.from_bytes(digest[offset : offset + 4], "big") & 0x7FFF_FFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def signature(secret: bytes, station_id: str, nonce: str, at: int) -> str:
    """What it sends by radio with `nonce` and the time: HMAC-SHA256 over `station|nonce|time`, in hex."""
    return hmac.digest(secret, f"{station_id}|{nonce}|{at}".encode(), sha256).hex()
