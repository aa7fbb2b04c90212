"""JSON read strictly: numbers keep their decimals, and nothing comes in that PostgreSQL cannot store."""

from __future__ import annotations

import json
from decimal import Decimal

DIGITS_MAX = 40
EXPONENT_MAX = 30


class NotJson(ValueError):
    """The text is not JSON, or not JSON that we take; says why."""


def read(raw: bytes) -> object:
    """
    The value of JSON text in UTF-8; numbers with a point or an exponent become `Decimal`.

    NotJson for anything malformed, names given twice, NaN, numbers of more than `DIGITS_MAX` digits,
    lone surrogates and NUL.
    """
    try:
        value = json.loads(
            raw.decode("utf-8"),
            parse_float=_decimal,
            parse_int=_integer,
            parse_constant=_constant,
            object_pairs_hook=_object,
        )
        _check_text(value)
    except RecursionError:
        raise NotJson("it is nested too deeply") from None
    except UnicodeDecodeError:
        raise NotJson("it is not UTF-8") from None
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from None
    return value


def write(value: object) -> str:
    """The JSON text of what `read` gives, with every number as it was written."""
    match value:
        case dict():
            return "{" + ", ".join(f"{json.dumps(key)}: {write(part)}" for key, part in value.items()) + "}"
        case list():
            return "[" + ", ".join(write(part) for part in value) + "]"
        case Decimal():
            return str(value)
        case _:
            return json.dumps(value)


def _decimal(text: str) -> Decimal:
    number = Decimal(text) if len(text) <= DIGITS_MAX + 10 else None
    if number is None or len(number.as_tuple().digits) > DIGITS_MAX or abs(number.adjusted()) > EXPONENT_MAX:
        raise NotJson("a number is too long")
    return number


def _integer(text: str) -> int:
    if len(text) > DIGITS_MAX:
        raise NotJson("a number is too long")
    return int(text)


def _constant(text: str) -> object:
    raise NotJson(f"{text} is not a JSON number")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise NotJson("a name is given twice in one object")
    return found


def _check_text(value: object) -> None:
    match value:
        case str():
            check_text(value)
        case dict():
            for key, part in value.items():
                check_text(key)
                _check_text(part)
        case list():
            for part in value:
                _check_text(part)


def check_text(text: str) -> None:
    """NotJson when PostgreSQL could not store this text."""
    if "\x00" in text:
        raise NotJson("text holds a NUL character")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise NotJson("text holds a lone surrogate") from None
