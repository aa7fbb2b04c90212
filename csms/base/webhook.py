"""
Signatures of webhooks as Standard Webhooks ask, for those we send and those we get.

A message has an id, a time and a body; the header `webhook-signature` holds one `v1,BASE64` per secret,
separated by spaces, each HMAC-SHA256 over `id.seconds.body`. A secret is written `whsec_BASE64`.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from collections.abc import Mapping, Sequence

ID, TIMESTAMP, SIGNATURE = "webhook-id", "webhook-timestamp", "webhook-signature"
PREFIX = "whsec_"
SECRET_BYTES_MIN, SECRET_BYTES_MAX = 24, 64
TOLERANCE_S = 300
"""How far the time of a message may be from ours."""

SIGNATURES_MAX = 10
"""So many signatures of one message are looked at: a sender has two secrets at most."""


def secret(key: bytes) -> str:
    """A key as it is shown and kept."""
    assert SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX
    return PREFIX + base64.b64encode(key).decode()


def key_of(text: str) -> bytes:
    """The key that a secret stands for; ValueError says what is wrong with it, without it."""
    try:
        key = base64.b64decode(text.removeprefix(PREFIX), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"a secret of webhooks is {PREFIX} and base64") from None
    if not SECRET_BYTES_MIN <= len(key) <= SECRET_BYTES_MAX:
        raise ValueError(f"a secret of webhooks stands for {SECRET_BYTES_MIN} to {SECRET_BYTES_MAX} bytes")
    return key


def sign(keys: Sequence[bytes], message_id: str, at_s: int, body: bytes) -> dict[str, str]:
    """The three headers of a message; `at_s` is seconds since 1970."""
    signatures = " ".join(_signature(key, message_id, str(at_s), body) for key in keys)
    return {ID: message_id, TIMESTAMP: str(at_s), SIGNATURE: signatures}


def fault(keys: Sequence[bytes], headers: Mapping[str, str], body: bytes, now_s: float) -> str | None:
    """What is wrong with a message's signature or age, None if it is genuine and fresh. Names are lower case."""
    message_id, at, given = (headers.get(name, "") for name in (ID, TIMESTAMP, SIGNATURE))
    if not message_id or not at or not given:
        return "not signed"
    if not (message_id + at + given).isascii():
        return "badly signed"
    expected = [_signature(key, message_id, at, body).encode() for key in keys]
    signatures = [signature.encode() for signature in given.split(" ")[:SIGNATURES_MAX]]
    if not any(hmac.compare_digest(good, signature) for good in expected for signature in signatures):
        return "badly signed"
    if not at.isascii() or not at.isdigit() or len(at) > 12 or abs(now_s - int(at)) > TOLERANCE_S:
        return "not fresh"
    return None


def _signature(key: bytes, message_id: str, at: str, body: bytes) -> str:
    signed = f"{message_id}.{at}.".encode() + body
    return "v1," + base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
