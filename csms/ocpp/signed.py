"""
Signed meter values (OCMF): read out of meter values, and verified against the keys that were registered for the meter.

A key inside a message proves nothing and is not looked at. What is signed is kept verbatim, whatever
came of it (quirk Q-M21; money: a bill whose signed registers are forged is held).
"""

from __future__ import annotations

import base64
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal

import structlog

from csms.domain.events import Signed
from csms.domain.metering import to_wh
from csms.ocpp.calls import Call
from csms.ocpp.repair import instant

if TYPE_CHECKING:
    from pyocmf import OCMF
    from pyocmf import Reading as SignedReading

MARK = "igned"
"""Stands in every frame that holds a signed value: `SignedData` on 1.6, `signedMeterValue` on 2.x."""

SIGNED_VALUES_MAX = 16
"""Of one report so many are looked at; nothing honest sends more."""

METER_STATUS_GOOD = "G"
ENERGY_IN_DOUBT = "E"

Context = Literal["begin", "end", "other"]
CONTEXTS: Mapping[str, Context] = {"Transaction.Begin": "begin", "Transaction.End": "end"}
BEGINS = ("B",)
ENDS = ("E", "L", "R", "A", "P")
"""OCMF's words (TX) for the first and the last reading of a session."""

log = structlog.get_logger("csms.ocpp")


def signed_values(values: Any, call: Call, connector: int | None, *, is_2x: bool) -> tuple[Signed, ...]:
    """What is signed in a list of meter values; one signed text with a begin and an end gives both."""
    if MARK not in call.raw:
        return ()
    keys = _keys(call, connector)
    found: list[Signed] = []
    for value in values or ():
        for sample in value.sampledValue or ():
            if len(found) >= SIGNED_VALUES_MAX:
                log.info("more signed values than are looked at", station=call.station_id)
                return tuple(found)
            text, encoding = _signed_text(sample, is_2x)
            if text:
                at = instant(value.timestamp, call.received_at)
                context = CONTEXTS.get(sample.context or "", "other")
                its_digest = digest(text)
                found += [
                    Signed(its_context or context, at, encoding[:50], text, verdict, reason, register_wh, its_digest)
                    for its_context, verdict, reason, register_wh in verified(text, encoding, keys)
                ]
    return tuple(found)


def _keys(call: Call, connector: int | None) -> Sequence[str]:
    """The keys of a connector's meter; all of the station where the report does not say which connector it is."""
    if connector is None:
        return [key for keys in call.keys.values() for key in keys]
    return call.keys.get(connector) or call.keys.get(0, ())


def _signed_text(sample: Any, is_2x: bool) -> tuple[str, str]:
    """The signed text of a sample as it came, and the encoding it claims; no text where nothing is signed."""
    if is_2x:
        signed = sample.signedMeterValue
        if signed is None or not signed.signedMeterData:
            return "", ""
        return signed.signedMeterData, signed.encodingMethod or "OCMF"
    if sample.format != "SignedData" or not isinstance(sample.value, str):
        return "", ""
    return sample.value, "OCMF"


Verified = tuple[Context | None, Literal["valid", "invalid", "no_key", "unreadable"], str | None, int | None]
"""Context (None: the text does not say), verdict, reason, register in Wh."""


def verified(text: str, encoding: str, keys: Sequence[str]) -> list[Verified]:
    """
    The verdict on a signed text, once for every energy register in it.

    `keys` are the registered ones (base64 DER); one that fits is enough. `no_key` means that none is
    registered, `unreadable` that this is no OCMF. Never raises.
    """
    from pyocmf import OCMF, SpecWarning  # a tenth of the start-up, for the few stations that sign

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SpecWarning)
            record = OCMF.from_string(_ocmf(text))
    except Exception as error:  # whatever a station writes: the library reads it as it comes
        return [(None, "unreadable", f"{encoding[:50]}: {type(error).__name__}", None)]
    verdict: Literal["valid", "invalid", "no_key"]
    verdict, reason = _verdict(record, keys)
    registers: list[Verified] = [
        (_context(reading), verdict, reason or doubt, register_wh) for reading, register_wh, doubt in _registers(record)
    ]
    return registers or [(None, verdict, reason or "no energy register", None)]


def _ocmf(text: str) -> str:
    """The OCMF text: plain, as hex, as base64, or wrapped in the JSON of 2.x, which some 1.6 stations send."""
    text = text.strip()
    if text.startswith("{"):
        return _ocmf(str(json.loads(text)["signedMeterData"]))
    if text.startswith("OCMF|"):
        return text
    for decode in (bytes.fromhex, partial(base64.b64decode, validate=True)):
        try:
            decoded = decode(text).decode()
        except ValueError:
            continue
        if decoded.startswith("OCMF|"):
            return decoded
    return text


def digest(text: str) -> bytes:
    """SHA-256 of what the meter signed, the same however it is written down; of the text itself where it is no OCMF."""
    try:
        parts = _ocmf(text).split("|", 3)
    except Exception:  # whatever a station writes
        parts = []
    return sha256((parts[1] if len(parts) > 2 else text).encode()).digest()


def _verdict(record: OCMF, keys: Sequence[str]) -> tuple[Literal["valid", "invalid", "no_key"], str | None]:
    from pyocmf import PyOCMFError

    if not keys:
        return "no_key", None
    reason = "the signature does not fit"
    for key in keys:
        try:
            if record.verify_signature(key):
                return "valid", None
        except PyOCMFError as error:
            reason = str(error)[:200]
    return "invalid", reason


def _registers(record: OCMF) -> Iterator[tuple[SignedReading, int | None, str | None]]:
    """The energy readings, their registers in Wh (None where the meter itself doubts them), and the doubt."""
    for reading in record.payload.RD:
        if reading.RV is None or reading.RU not in ("kWh", "Wh"):
            continue
        if reading.RI is not None and not (reading.RI.is_billing_relevant or reading.RI.is_law_relevant):
            continue
        doubt = None
        if reading.ST not in (None, METER_STATUS_GOOD) or ENERGY_IN_DOUBT in (reading.EF or ""):
            doubt = f"the meter doubts it: status {reading.ST}, flags {reading.EF}"
        try:
            yield reading, None if doubt else to_wh(reading.RV, str(reading.RU)), doubt
        except ValueError as error:
            yield reading, None, str(error)[:200]


def _context(reading: SignedReading) -> Context | None:
    if reading.TX in BEGINS:
        return "begin"
    return "end" if reading.TX in ENDS else None
