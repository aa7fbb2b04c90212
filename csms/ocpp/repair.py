"""
What chargers in the field write, mended into what their action means (quirks.md).

`mend` walks the payload beside its schema. With `deep` (reports that move money) everything that can
still be understood is: numbers for text, text for numbers, an object for a list of one, blanks,
decimal commas; what cannot is left out, and the reader decides if enough is left. Without it only
what harms nobody is accepted: longer text, unknown enum values, odd timestamps.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec

from csms.ocpp import times, wire
from csms.ocpp.schemas import Version, schema

TEXT_LENGTH_MAX = 2_500
"""The longest text kept of a field that was mended."""

SIGNED_LENGTH_MAX = 65_536
"""In reports that move money nothing is cut: a signed meter value proves nothing without its end (quirk Q-M21)."""

DIGITS_MAX = 40

Node = Mapping[str, Any]


def _number(text: str) -> Decimal | None:
    """A number as it was written; None, as if it were absent, for an exponent that no Decimal has."""
    try:
        return Decimal(text)
    except InvalidOperation:
        return None


_NUMBERS = msgspec.json.Decoder(float_hook=_number)


class Beyond(Exception):
    """The value cannot be mended; the text names the field."""


def storable(value: object) -> object:
    """`value` without NUL and half characters in any text: PostgreSQL cannot store them, and no station means them."""
    if isinstance(value, str):
        return value.replace("\0", "").encode(errors="ignore").decode()
    if isinstance(value, dict):
        return {storable(key): storable(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [storable(inner) for inner in value]
    return value


def read(version: Version, action: str, payload: bytes | msgspec.Raw, *, deep: bool) -> Any:
    """
    The mended payload as the loose struct of `action`.

    Raises `Beyond` when it cannot be mended.
    """
    root = schema(version, action)
    try:
        value = _NUMBERS.decode(payload)
    except (msgspec.DecodeError, RecursionError) as error:
        raise Beyond(str(error)) from error
    if not isinstance(value, dict):
        raise Beyond("the payload is not an object")
    mended = _Mender(root.get("definitions", {}), deep).mend(root, value, action)
    try:
        return msgspec.convert(mended, wire.loose(version, action))
    except msgspec.ValidationError as error:
        raise Beyond(str(error)) from error


def is_other_version(version: Version, action: str, payload: bytes | msgspec.Raw) -> bool:
    """Whether a BootNotification has the other family's shape (quirk Q-H02)."""
    if action != "BootNotification":
        return False
    try:
        fields = msgspec.json.decode(payload, type=dict[str, msgspec.Raw])
    except (msgspec.DecodeError, RecursionError):
        return False
    if version == "ocpp1.6":
        return "chargingStation" in fields and "chargePointVendor" not in fields
    return "chargePointVendor" in fields and "chargingStation" not in fields


class _Mender:
    def __init__(self, definitions: Node, deep: bool) -> None:
        self.definitions = definitions
        self.deep = deep

    def mend(self, node: Node, value: object, place: str) -> Any:
        """`value` as `node` wants it, or None for what is left out. Raises `Beyond` unless `deep`."""
        if "$ref" in node:
            node = self.definitions[node["$ref"].rsplit("/", 1)[1]]
        match node.get("type"):
            case "string" if node.get("format") == "date-time":
                return times.lenient(value) if isinstance(value, str) else self._left_out(place)
            case "string":
                return self._text(value, place)
            case "integer":
                return self._integer(value, place)
            case "number":
                return self._number(value, place)
            case "boolean":
                return self._boolean(value, place)
            case "array":
                return self._array(node, value, place)
            case "object" if node.get("properties"):
                return self._object(node, value, place)
            case _:
                return value

    def _left_out(self, place: str) -> Any:
        if not self.deep:
            raise Beyond(place)
        return None

    def _text(self, value: object, place: str) -> Any:
        if isinstance(value, str):
            return value[: SIGNED_LENGTH_MAX if self.deep else TEXT_LENGTH_MAX]
        if self.deep and isinstance(value, int | Decimal) and not isinstance(value, bool):
            return str(value)[:TEXT_LENGTH_MAX]
        if place.endswith("DataTransfer.data") and isinstance(value, dict | list):
            return json.dumps(value, default=float)
        return self._left_out(place)

    def _integer(self, value: object, place: str) -> Any:
        if isinstance(value, bool):
            return self._left_out(place)
        if isinstance(value, int):
            return value if wire.INT_MIN <= value <= wire.INT_MAX else self._left_out(place)
        number = decimal(value) if self.deep or isinstance(value, Decimal) else None
        if number is None or abs(number) > wire.INT_MAX or (not self.deep and number != number.to_integral_value()):
            return self._left_out(place)
        return round(number)

    def _number(self, value: object, place: str) -> Any:
        if isinstance(value, bool) or not (self.deep or isinstance(value, int | Decimal)):
            return self._left_out(place)
        number = decimal(value)
        return number if number is not None else self._left_out(place)

    def _boolean(self, value: object, place: str) -> Any:
        if isinstance(value, bool):
            return value
        if self.deep and isinstance(value, str) and value.strip().lower() in ("true", "false"):
            return value.strip().lower() == "true"
        return self._left_out(place)

    def _array(self, node: Node, value: object, place: str) -> Any:
        if not isinstance(value, list):
            if not self.deep or not isinstance(value, dict):
                return self._left_out(place)
            value = [value]
        items = (self.mend(node.get("items", {}), item, place) for item in value)
        return [item for item in items if item is not None]

    def _object(self, node: Node, value: object, place: str) -> Any:
        if not isinstance(value, dict):
            return self._left_out(place)
        if not self.deep and (missing := [field for field in node.get("required", ()) if value.get(field) is None]):
            raise Beyond(f"{place} without {', '.join(missing)}")
        properties = node["properties"]
        return {
            field: self.mend(properties[field], inner, f"{place}.{field}")
            for field, inner in value.items()
            if field in properties and inner is not None
        }


def decimal(value: object) -> Decimal | None:
    """A finite number of sensible size, from a number or from text with blanks or a decimal comma; else None."""
    if isinstance(value, str):
        value = value.strip().replace(",", ".")
        if len(value) > DIGITS_MAX:
            return None
    if not isinstance(value, str | int | Decimal):
        return None
    try:
        number = Decimal(value)
    except (InvalidOperation, ValueError):
        return None
    return number if number.is_finite() and number.adjusted() < DIGITS_MAX else None


def instant(at: datetime | None, otherwise: datetime) -> datetime:
    """`at` in UTC, or `otherwise` where the station named none that exists."""
    return (times.utc(at) or otherwise) if at is not None else otherwise
