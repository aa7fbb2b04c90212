"""The JSON schemas of OCPP, read from the `ocpp` package when first asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import jsonschema_rs

from csms.base.errors import WireError

Version = Literal["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]

FOLDERS: dict[Version, str] = {"ocpp1.6": "v16", "ocpp2.0.1": "v201", "ocpp2.1": "v21"}

FORMATION: dict[Version, str] = {
    "ocpp1.6": "FormationViolation",
    "ocpp2.0.1": "FormatViolation",
    "ocpp2.1": "FormatViolation",
}
"""The error code for a payload that is not what its action says."""

OCCURRENCE: dict[Version, str] = {
    "ocpp1.6": "OccurenceConstraintViolation",
    "ocpp2.0.1": "OccurrenceConstraintViolation",
    "ocpp2.1": "OccurrenceConstraintViolation",
}
"""The error code for too few or too many of a field; 1.6 spells it with one `r`."""

_OCCURRENCES = {"required", "minItems", "maxItems"}
_PROPERTIES = {"maxLength", "minLength", "enum", "minimum", "maximum", "multipleOf", "pattern"}


@cache
def folder(version: Version) -> Path:
    """Where the schemas of `version` lie. The package itself is not imported: that costs 200 ms."""
    spec = find_spec("ocpp")
    assert spec is not None
    assert spec.submodule_search_locations
    return Path(next(iter(spec.submodule_search_locations))) / FOLDERS[version] / "schemas"


@cache
def actions(version: Version) -> frozenset[str]:
    """Every action that `version` knows, in both directions."""
    names = (path.stem for path in folder(version).glob("*.json"))
    return frozenset(name.removesuffix("Request") for name in names if not name.endswith("Response"))


@cache
def schema(version: Version, action: str, part: Literal["request", "response"] = "request") -> dict[str, Any]:
    """The schema of one message. Raises `KeyError` when the version has no such action."""
    if action not in actions(version):
        raise KeyError(action)
    suffixes = ("Response",) if part == "response" else ("Request", "")
    for suffix in suffixes:
        path = folder(version) / f"{action}{suffix}.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
            return found
    raise KeyError(action)


@cache
def _validator(version: Version, action: str, part: Literal["request", "response"]) -> Any:
    return jsonschema_rs.validator_for(schema(version, action, part))


def faults(
    version: Version, action: str, payload: object, part: Literal["request", "response"] = "request"
) -> Iterator[WireError]:
    """What the JSON schema has against `payload`, each with the OCPP error code it deserves."""
    for error in _validator(version, action, part).iter_errors(payload):
        keyword = error.kind.name
        if keyword == "type":
            code = "TypeConstraintViolation"
        elif keyword in _OCCURRENCES:
            code = OCCURRENCE[version]
        elif keyword in _PROPERTIES:
            code = "PropertyConstraintViolation"
        else:
            code = FORMATION[version]
        place = "/".join(str(step) for step in error.instance_path)
        yield WireError(code, f"{action}{'/' if place else ''}{place}: {error.message}"[:255])


def check(version: Version, action: str, payload: object) -> None:
    """
    Hold an outgoing call against its schema.

    Raises `WireError` with the first fault, or with `NotImplemented` when the version has no such action.
    """
    try:
        for fault in faults(version, action, payload):
            raise fault
    except KeyError:
        raise WireError("NotImplemented", f"{version} has no call {action}") from None
