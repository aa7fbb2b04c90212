"""The JSON schemas of OCPP, read from the `ocpp` package when first asked for."""

from __future__ import annotations

import json
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
def schema(version: Version, action: str) -> dict[str, Any]:
    """The schema of one call. Raises `KeyError` when the version has no such action."""
    if action not in actions(version):
        raise KeyError(action)
    for suffix in ("Request", ""):
        path = folder(version) / f"{action}{suffix}.json"
        if path.exists():
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8-sig"))
            return found
    raise KeyError(action)


@cache
def _validator(version: Version, action: str, closed: bool) -> Any:
    whole = schema(version, action)
    return jsonschema_rs.validator_for(whole if closed else _opened(whole))


def _opened(node: Any) -> Any:
    """A schema that has nothing against unknown fields."""
    if isinstance(node, dict):
        return {
            name: _opened(inner) for name, inner in node.items() if (name, inner) != ("additionalProperties", False)
        }
    return [_opened(inner) for inner in node] if isinstance(node, list) else node


def fault(version: Version, action: str, payload: object, *, closed: bool = True) -> WireError | None:
    """
    The first thing the JSON schema has against `payload`, with the OCPP error code it deserves; None for nothing.

    With `closed` unknown fields are faults too. Only one fault is looked for: a frame can hold
    tens of thousands, and to list them took a second in which nobody was served.
    """
    try:
        _validator(version, action, closed).validate(payload)
    except jsonschema_rs.ValidationError as error:
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
        return WireError(code, f"{action}{'/' if place else ''}{place}: {error.message}"[:255])
    return None


def check(version: Version, action: str, payload: object) -> None:
    """
    Hold an outgoing call against its schema.

    Raises `WireError` with the first fault, or with `NotImplemented` when the version has no such action.
    """
    try:
        found = fault(version, action, payload)
    except KeyError:
        raise WireError("NotImplemented", f"{version} has no call {action}") from None
    if found is not None:
        raise found
