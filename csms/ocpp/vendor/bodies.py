"""Bodies of the vendor protocol `org.csms.assets`, held against its published JSON Schema: the one source of it."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs
import msgspec

VENDOR = "org.csms.assets"
VERSION = 1

DATA_BYTES_MAX = 4_096
SNAPSHOT_BYTES_MAX = 16_384
"""`Unit.Snapshot` may be longer: it has a line for every door."""

WHOLE_MAX = 2**53
"""The largest whole number that a float still tells from its neighbours."""

Body = dict[str, Any]


class BadBody(Exception):
    """
    A body that cannot be taken. The text says why.

    `id` is the message's own, so that its sender can match the answer, or "" where there is none.
    """

    def __init__(self, error: Literal["BadPayload", "BadVersion"], why: str, body_id: str = "") -> None:
        super().__init__(why)
        self.error = error
        self.id = body_id


@cache
def document() -> dict[str, Any]:
    """The schema: `csms/_assets` in an installed wheel, `docs/reference/assets` in a checkout."""
    root = Path(__file__).parents[2]
    packaged = root / "_assets"
    folder = packaged if packaged.is_dir() else root.parent / "docs" / "reference" / "assets"
    found: dict[str, Any] = json.loads((folder / "v1.schema.json").read_text("utf-8"))
    return found


@cache
def validator(name: str) -> Any:
    """What holds a body against definition `name`, such as `up/Hello`. Raises `KeyError` where there is none."""
    whole = document()
    whole["$defs"][name]
    pointer = "#/$defs/" + name.replace("/", "~1")
    return jsonschema_rs.validator_for({"$schema": whole["$schema"], "$defs": whole["$defs"], "$ref": pointer})


def read(message: str, data: object) -> Body:
    """
    The body of `message` from a station, out of JSON text or an object: either may come on any version (Q-D01).

    Whole numbers are ints, however they were written. Raises `BadBody`.
    """
    text = text_of(data)
    if len(text.encode()) > (SNAPSHOT_BYTES_MAX if message == "Unit.Snapshot" else DATA_BYTES_MAX):
        raise BadBody("BadPayload", "the body is too long", _id_of(text))
    body = _decoded(text)
    if not isinstance(body, dict):
        raise BadBody("BadPayload", "the body is not a JSON object", _id_of(text))
    version = body.get("v")
    if type(version) is int and version != VERSION:
        raise BadBody("BadVersion", f"version {version}"[:50], _id_of(text))
    try:
        validator(f"up/{message}").validate(body)
    except jsonschema_rs.ValidationError as fault:
        place = "/".join(str(step) for step in fault.instance_path)
        said = "not as its schema says" if "token" in fault.instance_path else fault.message  # it quotes the value
        raise BadBody("BadPayload", f"{place or message}: {said}"[:255], _id_of(text)) from None
    except ValueError as error:  # nested deeper than it looks
        raise BadBody("BadPayload", str(error)[:255], _id_of(text)) from None
    return body


def text_of(data: object) -> str:
    """`data` as JSON text, whichever of the two it came as; "" where it is no JSON at all."""
    if isinstance(data, str):
        return data
    try:
        return json.dumps(data, default=float)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return ""


def _number(text: str) -> int | float:
    """A number with a point or an exponent: an int where it means one, as JSON Schema has it."""
    number = float(text)
    return int(number) if abs(number) <= WHOLE_MAX and number.is_integer() else number


_DECODER = msgspec.json.Decoder(float_hook=_number)


def _decoded(text: str) -> Any:
    """The JSON value; None where it is none."""
    try:
        return _DECODER.decode(text)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None


def _id_of(text: str) -> str:
    """The id of a body that is otherwise bad, even if it is not quite JSON."""
    try:
        body = json.loads(text, strict=False)
    except (ValueError, RecursionError):
        return ""
    found = body.get("id") if isinstance(body, dict) else None
    return found if isinstance(found, str) and found.isascii() and validator("id").is_valid(found) else ""
