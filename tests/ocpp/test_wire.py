"""The structs made from the schemas say what the schemas say, and what they refuse is mended or named."""

from __future__ import annotations

import json
import random
import string
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.base.errors import WireError
from csms.ocpp import repair, schemas, wire
from csms.ocpp.routes import ROUTES
from csms.ocpp.schemas import FOLDERS, Version

CASES_PER_ACTION = 12

ALL = [(version, action) for version in FOLDERS for action in sorted(schemas.actions(version))]
MULTIPLES = {"SetChargingProfile", "RemoteStartTransaction"}
"""1.6 calls of ours with `multipleOf`: msgspec has no such rule. `schemas.check` holds them."""


class Maker:
    """Makes payloads that a schema accepts, and spoils them in one place."""

    def __init__(self, root: Any, seed: int) -> None:
        self.root = root
        self.random = random.Random(seed)

    def value(self, node: Any) -> Any:
        node = self._resolved(node)
        draw = self.random
        if "enum" in node:
            return draw.choice(node["enum"])
        match node.get("type"):
            case "string" if node.get("format") == "date-time":
                return f"20{draw.randint(10, 30)}-0{draw.randint(1, 9)}-11T10:00:0{draw.randint(0, 9)}Z"
            case "string" if node.get("format") == "uri":
                return f"https://files.example/{draw.randint(0, 99)}"
            case "string":
                length = draw.randint(0, min(node.get("maxLength", 20), 20))
                return "".join(draw.choices(string.ascii_letters + "éあ ", k=length))
            case "integer":
                return draw.randint(int(node.get("minimum", -5)), int(node.get("maximum", 1_000_000)))
            case "number":
                return round(draw.uniform(node.get("minimum", -5), node.get("maximum", 1e6)), 3)
            case "boolean":
                return draw.random() < 0.5
            case "array":
                low = node.get("minItems", 0)
                return [
                    self.value(node.get("items", {}))
                    for _ in range(draw.randint(low, min(low + 2, node.get("maxItems", 9))))
                ]
            case "object":
                required = node.get("required", ())
                return {
                    name: self.value(inner)
                    for name, inner in node.get("properties", {}).items()
                    if name in required or draw.random() < 0.4
                }
            case _:
                return draw.choice(["text", 1, {"a": 1}])

    def spoiled(self, node: Any, value: Any) -> Any:
        """`value` with one thing wrong somewhere."""
        node = self._resolved(node)
        draw = self.random
        if isinstance(value, dict) and value and draw.random() < 0.8:
            name = draw.choice(sorted(value))
            inner = node.get("properties", {}).get(name)
            if inner is None or (name in node.get("required", ()) and draw.random() < 0.3):
                return {key: item for key, item in value.items() if key != name}
            return value | {name: self.spoiled(inner, value[name])}
        if isinstance(value, list) and value and draw.random() < 0.7:
            return [self.spoiled(node["items"], value[0]), *value[1:]]
        if isinstance(value, str) and "maxLength" in node and draw.random() < 0.5:
            return "x" * (node["maxLength"] + 1)
        if isinstance(value, int) and not isinstance(value, bool) and "minimum" in node:
            return int(node["minimum"]) - 1
        wrong: list[Any] = [True, ["x"], {"x": 1}] if not isinstance(value, bool) else ["true", 1]
        return draw.choice([item for item in wrong if type(item) is not type(value)])

    def _resolved(self, node: Any) -> Any:
        return self.root["definitions"][node["$ref"].rsplit("/", 1)[1]] if "$ref" in node else node


def verdicts(version: Version, action: str, value: Any) -> tuple[bool, bool]:
    """What the schema says, and what the struct says."""
    by_schema = schemas.fault(version, action, value) is None
    try:
        wire.decoder(version, action).decode(json.dumps(value))
    except msgspec.ValidationError:
        return by_schema, False
    return by_schema, True


@pytest.mark.parametrize("version", FOLDERS)
def test_structs_and_schemas_give_the_same_verdicts(version: Version) -> None:
    good = bad = 0
    for action in sorted(schemas.actions(version)):
        if version == "ocpp1.6" and action in MULTIPLES:
            continue
        root = schemas.schema(version, action)
        for seed in range(CASES_PER_ACTION):
            maker = Maker(root, seed)
            value = maker.value(root)
            assert verdicts(version, action, value) == (True, True), (action, value)
            good += 1
            spoiled = maker.spoiled(root, value)
            by_schema, by_struct = verdicts(version, action, spoiled)
            assert by_schema == by_struct, (action, spoiled)
            bad += not by_schema
    assert good > 300
    assert bad > 200


@pytest.mark.parametrize(
    ("version", "action", "payload", "code"),
    [
        ("ocpp1.6", "Authorize", {}, "OccurenceConstraintViolation"),
        ("ocpp2.0.1", "Authorize", {}, "OccurrenceConstraintViolation"),
        ("ocpp1.6", "Authorize", {"idTag": 1}, "TypeConstraintViolation"),
        ("ocpp1.6", "Authorize", {"idTag": "x" * 21}, "PropertyConstraintViolation"),
        ("ocpp1.6", "Reset", {"type": "Gently"}, "PropertyConstraintViolation"),
        ("ocpp1.6", "Reset", {"type": "Soft", "now": True}, "FormationViolation"),
        ("ocpp2.1", "Reset", {"type": "Immediate", "now": True}, "FormatViolation"),
        ("ocpp1.6", "Dance", {}, "NotImplemented"),
        ("ocpp1.6", "BatterySwap", {}, "NotImplemented"),
    ],
)
def test_an_outgoing_call_is_refused_with_its_code(version: Version, action: str, payload: Any, code: str) -> None:
    with pytest.raises(WireError) as fault:
        schemas.check(version, action, payload)
    assert fault.value.code == code


def test_only_what_the_schema_allows_is_asked_of_stations() -> None:
    schemas.check("ocpp1.6", "RemoteStartTransaction", {"connectorId": 1, "idTag": "0011223344556677"})
    schemas.check("ocpp2.1", "RequestStopTransaction", {"transactionId": "t"})


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
MONEY = [(version, action) for version, table in ROUTES.items() for action, route in table.items() if route.money]


@pytest.mark.parametrize(("version", "action"), MONEY)
def test_mending_reads_every_object_whatever_is_in_it(version: Version, action: str) -> None:
    names = list(schemas.schema(version, action)["properties"])
    fields: Callable[..., Any] = st.dictionaries

    @given(fields(st.sampled_from(names), JSON, max_size=5))
    @settings(max_examples=60, deadline=None)
    def holds(payload: Any) -> None:
        mended = repair.read(version, action, json.dumps(payload).encode(), deep=True)
        assert type(mended) is wire.loose(version, action)

    holds()


def test_a_report_that_moves_no_money_is_mended_only_where_it_harms_nobody() -> None:
    long = b'{"chargePointVendor":"V","chargePointModel":"' + b"M" * 40 + b'"}'
    assert repair.read("ocpp1.6", "BootNotification", long, deep=False).chargePointModel == "M" * 40
    for payload in (b'{"chargePointVendor":"V"}', b'{"chargePointVendor":"V","chargePointModel":7}', b"[]", b"7"):
        with pytest.raises(repair.Beyond):
            repair.read("ocpp1.6", "BootNotification", payload, deep=False)


def test_every_route_is_a_call_of_its_version() -> None:
    for version, table in ROUTES.items():
        assert set(table) <= schemas.actions(version)
