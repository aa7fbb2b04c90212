"""
Proof that somebody stands before a cabinet: the code on its screen, a nonce that it sends, a place on the map.

The code is a time-based one-time password (RFC 6238, HMAC-SHA256, 8 digits, steps of 30 s), made with the
cabinet's secret. The nonce comes by radio with its time, signed with the same secret. A place is the weakest
of the three: a telephone can be made to tell any. A proof counts for one cabinet, once, for 120 s.
"""

from __future__ import annotations

import hmac
import math
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Literal

Method = Literal["totp", "ble", "geofence"]

STEP_S = 30
DIGITS = 8
SECRET_BYTES = 32

AGE_S_MAX = 120
"""How old a proof may be; a code's age counts from when its screen began to show it."""

AHEAD_S_MAX = 5
"""How far a cabinet's, or a telephone's, clock may be ahead of ours."""

EARTH_M = 6_371_000


@dataclass(frozen=True, slots=True)
class Setting:
    """What a cabinet takes as proof, and what judging it needs."""

    methods: frozenset[Method]
    secret: bytes | None = None
    latitude: float | None = None
    longitude: float | None = None
    radius_m: int = 0
    accuracy_m_max: int = 0


@dataclass(frozen=True, slots=True)
class Code:
    """What the cabinet's screen shows, as digits or in a QR code."""

    code: str


@dataclass(frozen=True, slots=True)
class Nonce:
    """What the cabinet sends by radio; `time` in seconds since 1970, `signature` in hex (`nonce_signature`)."""

    nonce: str
    time: int
    signature: str


@dataclass(frozen=True, slots=True)
class Fix:
    """Where a telephone says that it is; `accuracy_m` is the radius in which it is sure to be."""

    latitude: float
    longitude: float
    accuracy_m: float
    at: datetime


Proof = Code | Nonce | Fix


@dataclass(frozen=True, slots=True)
class Proven:
    """A good proof. `once` is what it was made of, as a digest: that counts a single time."""

    method: Method
    once: bytes


@dataclass(frozen=True, slots=True)
class NotProven:
    """No proof; `reason` is for people."""

    reason: str


def prove(proof: Proof, station_id: str, driver_id: str, setting: Setting, now: datetime) -> Proven | NotProven:
    """Whether `proof` shows that somebody is at this cabinet now."""
    match proof:
        case Code() if "totp" in setting.methods and setting.secret is not None:
            return _by_code(proof, station_id, setting.secret, now)
        case Nonce() if "ble" in setting.methods and setting.secret is not None:
            return _by_nonce(proof, station_id, setting.secret, now)
        case Fix() if "geofence" in setting.methods:
            return _by_fix(proof, station_id, driver_id, setting, now)
    return NotProven("this cabinet does not take such a proof")


def totp(secret: bytes, unix_s: int) -> str:
    """The code of the step that a time (in seconds since 1970) lies in."""
    return _code_of(secret, unix_s // STEP_S)


def nonce_signature(secret: bytes, station_id: str, nonce: str, unix_s: int) -> str:
    """How a cabinet signs a nonce: HMAC-SHA256 over `station|nonce|time`, in hex."""
    return hmac.new(secret, f"{station_id}|{nonce}|{unix_s}".encode(), sha256).hexdigest()


def distance_m(latitude: float, longitude: float, other_latitude: float, other_longitude: float) -> float:
    """Metres between two places in degrees, along a great circle (haversine)."""
    south, north = math.radians(latitude), math.radians(other_latitude)
    across = math.radians(other_longitude - longitude)
    part = math.sin((north - south) / 2) ** 2 + math.cos(south) * math.cos(north) * math.sin(across / 2) ** 2
    return 2 * EARTH_M * math.asin(min(1.0, math.sqrt(part)))


def _by_code(proof: Code, station_id: str, secret: bytes, now: datetime) -> Proven | NotProven:
    """Every code that may still count is compared, so that the time it takes tells nothing."""
    unix_s = now.timestamp()
    first, last = math.ceil((unix_s - AGE_S_MAX) / STEP_S), math.floor((unix_s + AHEAD_S_MAX) / STEP_S)
    found = None
    for step in range(first, last + 1):
        if hmac.compare_digest(_code_of(secret, step).encode(), proof.code.encode()):
            found = step
    if found is None:
        return NotProven("this code is not, or no longer, the one on the cabinet's screen")
    return Proven("totp", _digest("totp", station_id, found))


def _code_of(secret: bytes, step: int) -> str:
    """RFC 4226: the low bits of four bytes, whose place the last half byte names."""
    digest = hmac.new(secret, step.to_bytes(8), sha256).digest()
    place = digest[-1] & 0xF
    number = int.from_bytes(digest[place : place + 4]) & 0x7FFFFFFF
    return f"{number % 10**DIGITS:0{DIGITS}}"


def _by_nonce(proof: Nonce, station_id: str, secret: bytes, now: datetime) -> Proven | NotProven:
    expected = nonce_signature(secret, station_id, proof.nonce, proof.time)
    if not hmac.compare_digest(expected.encode(), proof.signature.lower().encode()):
        return NotProven("this nonce is not this cabinet's")
    if not _is_fresh(now.timestamp() - proof.time):
        return NotProven(f"this nonce is older than {AGE_S_MAX} s")
    return Proven("ble", _digest("ble", station_id, proof.nonce))


def _by_fix(proof: Fix, station_id: str, driver_id: str, setting: Setting, now: datetime) -> Proven | NotProven:
    if setting.latitude is None or setting.longitude is None:
        return NotProven("this cabinet does not take such a proof")
    if not _is_fresh((now - proof.at).total_seconds()):
        return NotProven(f"this place was seen more than {AGE_S_MAX} s ago")
    if not 0 <= proof.accuracy_m <= setting.accuracy_m_max:
        return NotProven(f"this place is not known within {setting.accuracy_m_max} m")
    away = distance_m(proof.latitude, proof.longitude, setting.latitude, setting.longitude)
    if not away <= setting.radius_m:
        return NotProven(f"this place is more than {setting.radius_m} m from the cabinet")
    return Proven("geofence", _digest("geofence", station_id, driver_id, proof.latitude, proof.longitude, proof.at))


def _is_fresh(age_s: float) -> bool:
    return -AHEAD_S_MAX <= age_s <= AGE_S_MAX


def _digest(*parts: object) -> bytes:
    return sha256("\n".join(map(str, parts)).encode()).digest()
