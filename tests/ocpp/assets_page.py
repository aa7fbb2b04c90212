"""
The parts of docs/reference/assets.md that are made from the schema, so that the page cannot drift from it.

`python -m tests.ocpp.assets_page` writes them into the page anew.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "assets.md"
SCHEMA = json.loads((ROOT / "docs" / "reference" / "assets" / "v1.schema.json").read_text("utf-8"))["$defs"]

_PART = re.compile(r"(<!-- made: (\w+) -->\n).*?(<!-- end -->)", re.DOTALL)
_SHARED = ("envelope", "event", "command")
NOT_SERVED = ("Session.",)
"""Messages that are specified, and not served yet."""


def made(page: str) -> str:
    """The page with its made parts as the schema has them now."""
    return _PART.sub(lambda found: f"{found[1]}{_PARTS[found[2]]()}{found[3]}", page)


def _resolved(node: Any) -> Any:
    """The node with what it refers to; its own description goes first."""
    if "$ref" in node:
        return _resolved(SCHEMA[node["$ref"].removeprefix("#/$defs/")]) | {
            name: inner for name, inner in node.items() if name != "$ref"
        }
    return node


def _kind(definition: dict[str, Any]) -> str:
    base = definition["$ref"].removeprefix("#/$defs/")
    return "request" if base == "envelope" else base


def _type(node: dict[str, Any]) -> str:
    """What a field may be, in a few words."""
    node = _resolved(node)
    if "const" in node:
        return f"`{node['const']}`"
    if "enum" in node:
        return "a code below" if len(node["enum"]) > 10 else ", ".join(f"`{value}`" for value in node["enum"])
    match node.get("type"):
        case "integer":
            return f"{node['minimum']} to {node['maximum']}"
        case "boolean":
            return "true, false"
        case "array":
            return f"list of at most {node['maxItems']}: {_type(node['items'])}"
        case "object":
            required = node.get("required", ())
            names = [name if name in required else f"{name}?" for name in _fields(node)]
            return "{" + ", ".join(f"`{name}`" for name in names) + "}"
        case _:
            return _text(node["pattern"])


def _text(pattern: str) -> str:
    """A text's pattern in words, where it is one of those that read badly."""
    for name, words in {"time": "an instant", "gid": "a UUID"}.items():
        if pattern == SCHEMA[name]["pattern"]:
            return words
    plain = re.fullmatch(r"\^(\[[^]]+\])\{(\d+),(\d+)\}\$", pattern)
    words = f"{plain[2]} to {plain[3]} of `{plain[1]}`" if plain else f"`{pattern}`"
    return words.replace("|", "\\|")


def _fields(node: dict[str, Any]) -> dict[str, Any]:
    """The fields of an object, those it takes over first; the envelope's are told of once."""
    found: dict[str, Any] = {}
    for part in (node, *node.get("allOf", ())):
        name = part.get("$ref", "").removeprefix("#/$defs/")
        if name and name not in _SHARED:
            found |= _fields(SCHEMA[name])
    return found | dict(node.get("properties", {}))


def _required(node: dict[str, Any]) -> set[str]:
    taken_over = [part["$ref"].removeprefix("#/$defs/") for part in (node, *node.get("allOf", ())) if "$ref" in part]
    parts = [SCHEMA[name] for name in taken_over if name not in _SHARED]
    return {name for part in (node, *parts) for name in part.get("required", ())}


def _table(node: dict[str, Any]) -> str:
    rows = [
        f"| `{name}`{'' if name in _required(node) else '?'} | {_type(field)} | {field['description']} |\n"
        for name, field in _fields(node).items()
    ]
    return "| field | value | meaning |\n|---|---|---|\n" + "".join(rows) if rows else "No further fields.\n"


def _messages() -> str:
    rows = ["| from | message | is a | meaning |\n|---|---|---|---|\n"]
    for name, definition in SCHEMA.items():
        way, slash, message = name.partition("/")
        if slash:
            sender = "station" if way == "up" else "system"
            later = " *Not served yet.*" if message.startswith(NOT_SERVED) else ""
            link = f"[{message}](#{message.lower().replace('.', '')})"
            rows.append(f"| {sender} | {link} | {_kind(definition)} | {definition['description']}{later} |\n")
    return "".join(rows)


def _details() -> str:
    parts = []
    for name, definition in SCHEMA.items():
        if "/" in name:
            example = json.dumps(definition["examples"][0], ensure_ascii=False)
            head = f"### {name.partition('/')[2]}\n\n{definition['description']}\n\n"
            parts.append(f"{head}{_table(definition)}\n```json\n{example}\n```\n\n")
    return "".join(parts)


def _objects() -> str:
    """The objects inside messages."""
    names = {"battery": "A pack (`battery`)", "vehicle": "A vehicle (`vehicle`)"}
    return "".join(f"{title}:\n\n{_table(SCHEMA[name])}\n" for name, title in names.items())


def _errors() -> str:
    return ", ".join(f"`{code}`" for code in SCHEMA["error"]["enum"]) + ".\n"


_PARTS = {
    "messages": _messages,
    "envelope": lambda: _table(SCHEMA["envelope"]),
    "event": lambda: _table(SCHEMA["event"]),
    "command": lambda: _table(SCHEMA["command"]),
    "answer": lambda: _table(SCHEMA["answer"]),
    "errors": _errors,
    "objects": _objects,
    "details": _details,
}

if __name__ == "__main__":
    PAGE.write_text(made(PAGE.read_text("utf-8")), "utf-8")
