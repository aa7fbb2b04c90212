"""A request for every operation of the OpenAPI document, with bodies made from its schemas."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

PREFIX = "/api/v1"


@dataclass(frozen=True)
class Asked:
    """One request: `names` are those in its address."""

    method: str
    path: str
    pattern: str
    names: tuple[str, ...]
    body: Any
    moves_money: bool


def requests(document: Mapping[str, Any], known: Mapping[str, str], bodies: Mapping[str, Any]) -> Iterator[Asked]:
    """
    Every operation, with the objects of `known` in addresses and bodies.

    `bodies` has, by "METHOD /pattern", what a schema alone does not tell. A name that `known` lacks
    fails: say in tests/api/two_providers.py which object it is.
    """
    for path, operations in document["paths"].items():
        pattern = path.removeprefix(PREFIX)
        for method, operation in operations.items():
            names = tuple(re.findall(r"{([a-z_]+)}", pattern))
            missing = [name for name in names if name not in known]
            assert not missing, f"{pattern}: what is a foreign {missing}? say so in two_providers.IDS"
            body = None
            if "requestBody" in operation:
                schema = operation["requestBody"]["content"]["application/json"]["schema"]
                body = bodies.get(f"{method.upper()} {pattern}") or example(schema, document, known, "")
            yield Asked(
                method.upper(), re.sub(r"{([a-z_]+)}", lambda found: known[found[1]], pattern), pattern, names, body,
                any(parameter["name"] == "Idempotency-Key" for parameter in operation["parameters"]),
            )  # fmt: skip


def example(schema: Mapping[str, Any], document: Mapping[str, Any], known: Mapping[str, str], name: str) -> Any:
    """A value of a schema: what is required, and every field that names an object."""
    if "$ref" in schema:
        return example(document["components"]["schemas"][schema["$ref"].rpartition("/")[2]], document, known, name)
    if name in known and _takes_text(schema):
        return known[name]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return example(schema[choice][0], document, known, name)
    if "const" in schema or "enum" in schema:
        return schema.get("const", schema.get("enum", [None])[0])
    match schema.get("type"):
        case "object":
            properties = schema.get("properties", {})
            if "minor" in properties and "currency" in properties:
                return {"minor": 100, "currency": "KRW"}
            wanted = [*schema.get("required", ()), *(part for part in properties if part in known)]
            return {part: example(properties.get(part, {}), document, known, part) for part in dict.fromkeys(wanted)}
        case "array":
            least = schema.get("minItems", 0)
            return [example(schema.get("items", {}), document, known, name)] * least
        case "string":
            return _text(schema, name)
        case "integer" | "number":
            return max(schema.get("minimum", 1), schema.get("exclusiveMinimum", 0) + 1)
        case "boolean":
            return False
    return {}


def _takes_text(schema: Mapping[str, Any]) -> bool:
    return schema.get("type") == "string" or any(part.get("type") == "string" for part in schema.get("anyOf", ()))


def _text(schema: Mapping[str, Any], name: str) -> str:
    """A string that a schema takes."""
    if schema.get("format") == "date-time":
        return "2026-11-20T12:00:00Z"
    if schema.get("format") == "date":
        return "2026-11-01"
    if schema.get("format") == "uuid":
        return "01934567-89ab-7def-8123-456789abcdef"
    named = {
        "currency": "KRW", "time_zone": "UTC", "token": "A0A0A0A0", "url": "https://example.org/hook",
        "from_day": "2026-09-01", "to_day": "2026-10-01",
    }  # fmt: skip
    return named.get(name, "x" * max(1, schema.get("minLength", 1)))
