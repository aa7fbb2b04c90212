"""Pieces that bodies and answers are made of: ids, text, times, money."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    PlainValidator,
    StringConstraints,
    WithJsonSchema,
)

from csms.api.jsontext import NotJson, check_text
from csms.base.clock import rfc3339_ms
from csms.base.money import Money as Amount

PAGE_MAX = 1_000
PAGE_DEFAULT = 100
YEAR_MIN, YEAR_MAX = 1970, 9998
AMOUNT_LENGTH_MAX = 60


class Body(BaseModel):
    """What a client sends: nothing unknown, no type turned into another."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Query(BaseModel):
    """Parameters of an address: text that is read as what each parameter is."""

    model_config = ConfigDict(extra="forbid", populate_by_name=False)


class Answer(BaseModel):
    """What a client gets."""

    model_config = ConfigDict(frozen=True)


def _time(value: object) -> object:
    """RFC 3339, or a day, which begins at midnight UTC."""
    if isinstance(value, datetime):
        return value
    if not isinstance(value, str) or not 10 <= len(value) <= 40:
        raise ValueError("write a time as RFC 3339, such as 2026-11-20T15:04:05Z")
    at = datetime.fromisoformat(value)
    if at.tzinfo is None:
        if len(value) > 10:
            raise ValueError("a time needs its offset, such as Z")
        at = at.replace(tzinfo=UTC)
    if not YEAR_MIN <= at.year <= YEAR_MAX:
        raise ValueError(f"years are {YEAR_MIN} to {YEAR_MAX}")
    return at.astimezone(UTC)


def _storable(text: str) -> str:
    try:
        check_text(text)
    except NotJson as error:
        raise ValueError(str(error)) from None
    return text


Moment = Annotated[
    datetime,
    BeforeValidator(_time),
    PlainSerializer(rfc3339_ms, return_type=str),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
ChosenId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,48}$")]
StationId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9*_=:+|@.-]{1,48}$")]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200, strip_whitespace=True)]
Parameter = Annotated[str, StringConstraints(min_length=1, max_length=500), AfterValidator(_storable)]
Minor = Annotated[int, Field(ge=0, le=2**62, description="minor units of the currency")]


def _amount(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, str | int) or len(str(value)) > AMOUNT_LENGTH_MAX:
        raise ValueError(f'write the amount as text of at most {AMOUNT_LENGTH_MAX} characters, such as "12.50"')
    return value


AmountText = Annotated[
    str | int,
    PlainValidator(_amount),
    WithJsonSchema({"anyOf": [{"type": "string", "maxLength": AMOUNT_LENGTH_MAX}, {"type": "integer"}]}),
]


class MoneyBody(Body):
    """Money as a client writes it: `amount` or `minor`, or both when they agree."""

    amount: AmountText | None = None
    currency: Annotated[str, StringConstraints(max_length=3)]
    minor: int | None = None

    def read(self, field: str) -> Amount:
        """The amount; Refused, with `field` as pointer, when it is none."""
        return Amount.parse(self.model_dump(exclude_none=True), field)


class Money(Answer):
    """Money: a decimal string, its currency, and whole minor units."""

    amount: str
    currency: str
    minor: int


def money(minor: int, currency: str) -> Money:
    """Minor units as an answer has them."""
    return Money.model_validate(Amount(minor, currency).as_json())


class Paging(Query):
    """Where a list goes on, and how long a page is."""

    cursor: Parameter | None = Field(None, description="`next_cursor` of the page before")
    limit: int = Field(PAGE_DEFAULT, ge=1, le=PAGE_MAX, description="rows of a page")


Item = TypeVar("Item")


class Page(Answer, Generic[Item]):
    """A page of a list; `next_cursor` is null on the last."""

    items: list[Item]
    next_cursor: str | None


Json = Any
"""A JSON value that is passed on as it is."""
