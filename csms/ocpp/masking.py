"""What is kept of a report's text is kept without the tokens in it, however broken the text is."""

from __future__ import annotations

import json
import re
from typing import Any

from csms.domain.token import canonical, masked

KEYS = ("token", "idtoken", "additionalidtoken")
HIDDEN = "..."

_BROKEN = re.compile(
    r"""(token(\\*)"\s*:\s*)(?:(\2").*?(?=(?<!\\)\2")|(?=\{)|.*)""",
    re.IGNORECASE | re.DOTALL,
)
"""A token in text that is no JSON: up to the quote that ends it, or else everything behind it."""


def without_tokens(text: str) -> str:
    """`text` with what stands for a token masked; unchanged where there is none. JSON in its texts is looked into."""
    try:
        value = json.loads(text)
        hidden = _without(value)
        return text if hidden == value else json.dumps(hidden)
    except (ValueError, RecursionError):
        return _BROKEN.sub(lambda found: f"{found[1]}{found[3] or ''}{HIDDEN if found[3] else ''}", text)


def _without(value: Any) -> Any:
    match value:
        case dict():
            return {
                name: _hidden(inner) if _is_token(name, inner) else _without(inner) for name, inner in value.items()
            }
        case list():
            return [_without(inner) for inner in value]
        case str():
            return without_tokens(value)
        case _:
            return value


def _is_token(name: str, inner: object) -> bool:
    """2.x has an object under `idToken`, whose own `idToken` is the token."""
    folded = name.casefold()
    return folded in KEYS and not (folded == "idtoken" and isinstance(inner, dict))


def _hidden(value: object) -> str:
    return masked(canonical(value)) if isinstance(value, str) else HIDDEN
