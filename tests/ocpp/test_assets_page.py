"""The protocol's page says what its schema says."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from csms.ocpp.vendor import bodies
from csms.ocpp.vendor.transfers import TRANSFERS
from tests.ocpp.assets_page import NOT_SERVED, PAGE, ROOT, SCHEMA, made

GUIDE = ROOT / "docs" / "how-to" / "build-a-locker-controller.md"
_JSON = re.compile(r"```json\n(.*?)```", re.DOTALL)


def test_the_made_parts_of_the_page_are_as_the_schema_has_them() -> None:
    page = PAGE.read_text("utf-8")
    assert made(page) == page, "python -m tests.ocpp.assets_page"


def test_the_page_names_what_is_not_served_yet() -> None:
    told = {name.removeprefix("up/") for name in SCHEMA if name.startswith("up/")}
    assert told - TRANSFERS[bodies.VENDOR].keys() == {name for name in told if name.startswith(NOT_SERVED)}


def test_every_message_has_an_example_and_every_field_a_description() -> None:
    for name, definition in SCHEMA.items():
        if "/" in name or name == "answer":
            assert definition["examples"], name
            for example in definition["examples"]:
                bodies.validator(name).validate(example)
        for field, inner in definition.get("properties", {}).items():
            assert inner.get("description", "").endswith("."), f"{name}.{field}"


@pytest.mark.parametrize("page", [PAGE, GUIDE], ids=lambda page: page.stem)
def test_every_body_on_a_page_is_one_of_the_protocol(page: Path) -> None:
    found = [json.loads(line) for text in _JSON.findall(page.read_text("utf-8")) for line in text.splitlines()]
    named = 0
    for frame in found:
        payload = frame[3] if isinstance(frame, list) and frame[0] == 2 else None
        if payload is not None and payload.get("vendorId") == bodies.VENDOR:
            data = payload["data"]
            body = json.loads(data) if isinstance(data, str) else data
            names = [
                f"{way}/{payload['messageId']}" for way in ("up", "down") if f"{way}/{payload['messageId']}" in SCHEMA
            ]
        elif isinstance(frame, list) and frame[0] == 3 and "data" in frame[2]:
            data = frame[2]["data"]
            body, names = json.loads(data) if isinstance(data, str) else data, ["answer"]
        elif isinstance(frame, dict):
            body, names = frame, [name for name in SCHEMA if "/" in name]
        else:
            continue
        assert any(bodies.validator(name).is_valid(body) for name in names), body
        named += 1
    assert named > 5
