"""
Message structs made from the JSON schemas of the `ocpp` package, when first needed.

Two readings of every request: `exact` gives the schema's verdict at msgspec's speed (unknown
fields are passed over, a null stands for absent); what it refuses, `repair.py` mends and reads
through `loose`, in which every field may be missing and text has any length.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from csms.ocpp.schemas import Version, schema

INT_MIN = -(2**63)
INT_MAX = 2**63 - 1

Node = Mapping[str, Any]


class _Maker:
    """Makes the structs of one schema; definitions that are named twice are made once."""

    def __init__(self, root: Node, exact: bool) -> None:
        self.definitions: Node = root.get("definitions", {})
        self.exact = exact
        self.made: dict[str, Any] = {}

    def type_of(self, node: Node, name: str) -> Any:
        if "$ref" in node:
            target = node["$ref"].rsplit("/", 1)[1]
            if target not in self.made:
                self.made[target] = self.type_of(self.definitions[target], target)
            return self.made[target]
        match node.get("type"):
            case "string":
                return self._string(node)
            case "integer":
                return self._integer(node)
            case "number":
                return self._number(node)
            case "boolean":
                return bool
            case "array":
                return self._array(node, name)
            case "object" if node.get("properties"):
                return self._struct(node, name)
            case "object":
                return dict[str, Any]
            case _:
                return Any

    def _string(self, node: Node) -> Any:
        if node.get("format") == "date-time":
            return datetime
        if not self.exact:
            return str
        if "enum" in node:
            return Literal[tuple(node["enum"])]
        return Annotated[str, Meta(max_length=node["maxLength"])] if "maxLength" in node else str

    def _integer(self, node: Node) -> Any:
        low, high = (node.get("minimum", INT_MIN), node.get("maximum", INT_MAX)) if self.exact else (INT_MIN, INT_MAX)
        return Annotated[int, Meta(ge=int(low), le=int(high))]

    def _number(self, node: Node) -> Any:
        """Decimal, as it was written; msgspec holds limits only against float, so those few are floats."""
        if not self.exact or not ({"minimum", "maximum"} & node.keys()):
            return Decimal
        return Annotated[float, Meta(ge=node.get("minimum"), le=node.get("maximum"))]

    def _array(self, node: Node, name: str) -> Any:
        item: Any = self.type_of(node.get("items", {}), name + "Item")
        if not self.exact:
            return list[item]
        return Annotated[list[item], Meta(min_length=node.get("minItems"), max_length=node.get("maxItems"))]

    def _struct(self, node: Node, name: str) -> Any:
        required = set(node.get("required", ())) if self.exact else set()
        fields: list[Any] = []
        for field, inner in node["properties"].items():
            made = self.type_of(inner, name + field.capitalize())
            fields.append((field, made) if field in required else (field, made | None, None))
        return msgspec.defstruct(name, fields, kw_only=True, gc=False)  # plain data: nothing in it makes a cycle


@cache
def exact(version: Version, action: str) -> Any:
    """The struct with the schema's own verdict. Raises `KeyError` for an action the version does not have."""
    return _Maker(schema(version, action), exact=True).type_of(schema(version, action), action)


@cache
def loose(version: Version, action: str) -> Any:
    """The struct in which every field may be missing. Raises `KeyError` like `exact`."""
    return _Maker(schema(version, action), exact=False).type_of(schema(version, action), action)


@cache
def decoder(version: Version, action: str) -> msgspec.json.Decoder[Any]:
    """The decoder of the exact struct: JSON text in, struct out, `msgspec.ValidationError` otherwise."""
    return msgspec.json.Decoder(exact(version, action))
