"""Vehicles: one spelling of what identifies them, and how it is proven whose they are."""

from __future__ import annotations

import re
from typing import Literal

from csms.base.errors import Refused
from csms.domain.token import canonical

Kind = Literal["VIN", "EVCCID", "eMAID", "MAC", "app"]
Proof = Literal["staff", "app", "session"]

SHOWN: frozenset[Kind] = frozenset({"EVCCID", "eMAID", "MAC"})
"""What vehicles show to stations as tokens of their drivers (autocharge, ISO 15118)."""

VALUE_LENGTH_MAX = 64
_VIN = re.compile(r"[a-hj-npr-z0-9]{17}")
_MAC = re.compile(r"(?:[0-9A-F]{2}){6}(?:[0-9A-F]{4})?")

HOW: dict[Kind, str] = {
    "VIN": "staff have to confirm it",
    "app": "add it from the app itself, or staff have to confirm it",
    **dict.fromkeys(SHOWN, "charge once with it as your token, or staff have to confirm it"),
}
"""How it can be proven whose it is, for people."""


def shown(kind: str | None, key: bytes | None) -> bytes | None:
    """The key of the token that a vehicle shows; None for what is shown to nobody: a VIN, an app."""
    return key if kind in SHOWN else None


def read(kind: Kind, value: str) -> str:
    """
    The canonical text of an identification, spelled as that of a token, so that the two can be compared.

    Refused for what cannot be one: a VIN has 17 characters without I, O and Q (ISO 3779), a MAC six or eight bytes.
    """
    text = canonical(value)
    if not text or len(text) > VALUE_LENGTH_MAX:
        raise Refused(f"an identification has 1 to {VALUE_LENGTH_MAX} visible characters", "/value")
    if kind == "VIN" and not _VIN.fullmatch(text.casefold()):
        raise Refused("a VIN has 17 characters: digits, and letters but I, O and Q", "/value")
    if kind == "MAC" and not _MAC.fullmatch(text):
        raise Refused("a MAC address is six bytes in hex, or eight", "/value")
    return text
