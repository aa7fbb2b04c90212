"""Why a voucher is offered, or is not recommended: codes with numbers for machines, sentences for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fractions import Fraction
from math import floor
from typing import Literal, NamedTuple

from csms.base.money import decimal_text, exact_text
from csms.base.units import WH_PER_KWH
from csms.domain.offer_takes import Product
from csms.domain.offers import COLD_SESSIONS, DAYS_PER_WEEK, GAIN_MIN, Confidence, Offer
from csms.domain.pack_rows import Unit

Language = Literal["en", "ko"]
Numbers = dict[str, int | str]
GAIN_PLACES = 10_000
WEEKS_MIN = 2
"""A shorter history is told in days."""


class Known(NamedTuple):
    """How well a driver is known: sessions in so many days; `cohort`: so many drivers' figures are mixed in."""

    sessions: int
    days: int
    confidence: Confidence
    cohort: int | None = None


class Reason(NamedTuple):
    """A code that stays the same, and its numbers: money in minor units, shares as decimal text."""

    code: str
    numbers: Numbers


def share_text(share: Fraction) -> str:
    """A share of 1 as decimal text of at most four places, rounded down: what is below 0.6 does not look like it."""
    return exact_text(Fraction(floor(share * GAIN_PLACES), GAIN_PLACES))


def reasons(offer: Offer, known: Known) -> list[Reason]:
    """What speaks for an offer and against it, the weightiest first; the last says what it rests on."""
    currency, days = offer.product.currency, offer.product.valid_days
    if not offer.windows and known.cohort is None:
        return [Reason("no_history", {"price": offer.product.price_minor, "currency": currency}), *_bounds(offer)]
    money: Numbers = {"minor": abs(offer.expected), "currency": currency, "days": days}
    found = [Reason("saves" if offer.expected > 0 else "costs_more", money)]
    if offer.worst != offer.expected:
        found.append(Reason("worst_case", {"minor": offer.worst, "currency": currency}))
    if offer.expected > 0 and offer.gain < GAIN_MIN:
        found.append(Reason("saves_too_rarely", {"gain": share_text(offer.gain), "needed": share_text(GAIN_MIN)}))
    else:
        found.append(Reason("gain", {"gain": share_text(offer.gain), "windows": offer.windows}))
    covered: Numbers = {"covered": offer.covered, "unit": offer.product.unit}
    if offer.product.unit == "wh":
        covered["used"] = offer.used
    found += [Reason("covers", covered), *_bounds(offer)]
    if offer.extrapolated:
        found.append(Reason("extrapolated", {"known_days": known.days, "days": days}))
    if known.cohort is not None:
        weight = Fraction(known.sessions, known.sessions + COLD_SESSIONS)
        found.append(Reason("others_like_you", {"drivers": known.cohort, "own_weight": share_text(weight)}))
    found.append(Reason(f"confidence_{known.confidence}", {"sessions": known.sessions, "days": known.days}))
    return found


def _bounds(offer: Offer) -> list[Reason]:
    """That its driver has one; and which tags and which vehicle it counts for, where that is not any."""
    conditions = offer.product.terms.conditions
    found = [Reason("have_one", {})] if offer.held else []
    found += [Reason("at_tags", {"tags": ", ".join(sorted(conditions.tags))})] if conditions.tags else []
    return [*found, Reason("one_vehicle", {})] if conditions.vehicle else found


def text(offer: Offer, known: Known, language: Language = "en") -> str:
    """The same in sentences for a driver."""
    return (_english if language == "en" else _korean)(offer, known)


def money_text(minor: int, currency: str) -> str:
    """`9,300 KRW`, `1,234.50 USD`: without its sign, which the sentence says."""
    whole, _, rest = decimal_text(abs(minor), currency).partition(".")
    return f"{int(whole):,}{'.' if rest else ''}{rest} {currency}"


def _english(offer: Offer, known: Known) -> str:
    product = offer.product
    price = money_text(product.price_minor, product.currency)
    if not offer.windows and known.cohort is None:
        unknown = (
            f"Nothing is known yet of how you charge. For {price} this is the cheapest, and it is not recommended."
        )
        return " ".join([unknown, *_english_bounds(product)])
    period = f"per {_count(product.valid_days, 'day')}"
    amount = money_text(offer.expected, product.currency)
    since = f"On your last {_span(known.days)}" if offer.windows else "On what drivers like you charge"
    if offer.expected > 0:
        said = [f"{since} it would have saved {amount} {period}, its price of {price} taken off."]
    elif offer.expected == 0:
        said = [f"{since} it would have cost as much as it saved {period}."]
    else:
        said = [f"{since} it would have cost you {amount} more {period}, its price of {price} counted."]
    if offer.worst < 0 < offer.expected:
        said.append(f"In the worst period it would have cost {money_text(offer.worst, product.currency)} more.")
    if offer.expected > 0 and offer.gain < GAIN_MIN:
        said.append(f"It would have paid off in {_percent(offer.gain)} of the periods only, so it is not recommended.")
    if offer.held:
        said.append("You still have something left of one, so it is not recommended.")
    if offer.windows:
        said.append(f"It covers {_covered(offer, _ENGLISH)}.")
    said += _english_bounds(product)
    if offer.extrapolated and offer.windows:
        said.append(
            f"You are known for less than {_count(product.valid_days, 'day')}: what you did was taken to go on."
        )
    if known.cohort is not None:
        said.append(f"What {known.cohort} drivers like you charge was counted in.")
    if known.confidence == "low":
        said.append(f"This rests on {_count(known.sessions, 'session')} only.")
    return " ".join(said)


def _english_bounds(product: Product) -> list[str]:
    conditions, said = product.terms.conditions, []
    if conditions.tags:
        more = ", and at the places that it names" if conditions.stations or conditions.sites else ""
        said.append(f"It counts only at sites with the tag {' or '.join(sorted(conditions.tags))}{more}.")
    return [*said, "It counts only for this vehicle."] if conditions.vehicle else said


_ENGLISH: Mapping[Unit, Callable[[Offer], str]] = {
    "wh": lambda offer: f"{_kwh(offer.covered)} of your {_kwh(offer.used)} kWh",
    "sec": lambda offer: f"{offer.covered // 60:,} minutes",
    "cnt": lambda offer: _count(offer.covered, "use"),
    "val": lambda offer: money_text(offer.covered, offer.product.currency),
}


def _korean(offer: Offer, known: Known) -> str:
    product = offer.product
    price = money_text(product.price_minor, product.currency)
    if not offer.windows and known.cohort is None:
        unknown = f"아직 충전 이력이 없습니다. 가장 저렴한 상품({price})을 보여 드리며, 추천은 아닙니다."
        return " ".join([unknown, *_korean_bounds(product)])
    amount, days = money_text(offer.expected, product.currency), product.valid_days
    since = f"최근 {_korean_span(known.days)} 이용 기준으로" if offer.windows else "비슷한 운전자의 이용 기준으로"
    if offer.expected > 0:
        said = [f"{since} 구매가 {price}을 빼고 {days}일마다 {amount}을 절약했을 것입니다."]
    elif offer.expected == 0:
        said = [f"{since} {days}일마다 절약한 만큼 비용이 들었을 것입니다."]
    else:
        said = [f"{since} 구매가 {price}을 포함하여 {days}일마다 {amount}이 더 들었을 것입니다."]
    if offer.worst < 0 < offer.expected:
        said.append(f"가장 나쁜 기간에는 {money_text(offer.worst, product.currency)}이 더 들었을 것입니다.")
    if offer.expected > 0 and offer.gain < GAIN_MIN:
        said.append(f"이득인 기간이 {_percent(offer.gain)}뿐이므로 추천하지 않습니다.")
    if offer.held:
        said.append("같은 이용권이 아직 남아 있어 추천하지 않습니다.")
    if offer.windows:
        said.append(f"적용 범위: {_covered(offer, _KOREAN)}.")
    said += _korean_bounds(product)
    if offer.extrapolated and offer.windows:
        said.append(f"이용 이력이 {days}일보다 짧아 지금까지의 이용이 계속된다고 보았습니다.")
    if known.cohort is not None:
        said.append(f"비슷한 운전자 {known.cohort}명의 이용을 함께 반영했습니다.")
    if known.confidence == "low":
        said.append(f"충전 {known.sessions}회만을 근거로 합니다.")
    return " ".join(said)


def _korean_bounds(product: Product) -> list[str]:
    conditions, said = product.terms.conditions, []
    if conditions.tags:
        more = " 장소와 상품에 적힌" if conditions.stations or conditions.sites else ""
        said.append(f"{' 또는 '.join(sorted(conditions.tags))} 태그가 있는{more} 장소에서만 적용됩니다.")
    return [*said, "이 차량으로 충전할 때만 적용됩니다."] if conditions.vehicle else said


_KOREAN: Mapping[Unit, Callable[[Offer], str]] = {
    "wh": lambda offer: f"{_kwh(offer.used)} kWh 중 {_kwh(offer.covered)} kWh",
    "sec": lambda offer: f"{offer.covered // 60:,}분",
    "cnt": lambda offer: f"{offer.covered}회",
    "val": lambda offer: money_text(offer.covered, offer.product.currency),
}


def _covered(offer: Offer, words: Mapping[Unit, Callable[[Offer], str]]) -> str:
    return words[offer.product.unit](offer)


def _kwh(wh: int) -> str:
    tenths = wh * 10 // WH_PER_KWH
    return f"{tenths // 10:,}" + (f".{tenths % 10}" if tenths % 10 else "")


def _percent(share: Fraction) -> str:
    return f"{floor(share * 100)} %"


def _count(number: int, name: str) -> str:
    return f"{number:,} {name}" if number == 1 else f"{number:,} {name}s"


def _span(days: int) -> str:
    weeks = days // DAYS_PER_WEEK
    return _count(weeks, "week") if weeks >= WEEKS_MIN and days % DAYS_PER_WEEK == 0 else _count(days, "day")


def _korean_span(days: int) -> str:
    weeks = days // DAYS_PER_WEEK
    return f"{weeks}주" if weeks >= WEEKS_MIN and days % DAYS_PER_WEEK == 0 else f"{days}일"
