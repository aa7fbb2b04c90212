"""
A session: one driver's energy delivery at one connector, folded from what its station reported.

A session gathers three facts, in whatever order they arrive: its start, its end, and who pays.
With all three it is closed; the same facts reported again change nothing.

| state        | start | end | payer |                                                        |
|--------------|-------|-----|-------|--------------------------------------------------------|
| `pending`    | any   | no  | open  | no token yet, or a psp has still to decide             |
| `active`     | any   | no  | yes   | energy may flow                                        |
| `incomplete` | any   | yes | open  | ended before its start, its token or a verdict arrived |
| `provisional`| yes   | ours| yes   | billed by its last reading; its end may still arrive   |
| `completed`  | yes   | yes | yes   | billed (a bill of nothing, if no energy flowed)        |
| `review`     | yes   | yes | yes   | its evidence is not plausible: held for people         |
| `invalid`    | any   | any | no    | its token was refused: recorded, never billed          |
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, NamedTuple
from uuid import UUID

from csms.domain.authorization import Policy
from csms.domain.events import Reading
from csms.domain.settlement import Split
from csms.domain.tariff_document import Tariff

State = Literal["pending", "active", "incomplete", "provisional", "completed", "review", "invalid"]
Means = Literal["balance", "psp"]
Rest = Literal["keep", "refund"]
SharesBy = Literal["psp", "run"]
Use = Literal["charge", "rental"]
"""What was used: a connector's energy, or an item that was lent (`rental.py`)."""
RESERVED = "rental:"
"""What the refs of rentals' sessions begin with; no station's own transaction id may."""
VOUCHERS = "vouchers"
"""The flag of a session whose driver has vouchers that may pay for it (`voucher_session.py`)."""
COVERED = "covered"
"""The flag of one whose bill they paid a part of, or all of it."""
CLOSED: frozenset[State] = frozenset({"completed", "review", "invalid"})


@dataclass(frozen=True, slots=True)
class Terms:
    """What a use is priced and divided by, fixed when it starts."""

    tariff_id: str
    tariff_version: int
    currency: str
    hold_minor: int
    terms_version: int


@dataclass(frozen=True, slots=True)
class Station:
    """What the rules know of a station. `terms` is None where it has no tariff. Powers are W by connector number."""

    id: str
    kind: str
    provider_id: str
    site_id: str | None
    terms_version: int
    terms: Terms | None
    powers: Mapping[int, int]
    time_zone: str | None = None
    portable: bool = False
    """It is an item that is lent, and gives energy to whoever has rented it."""
    tags: tuple[str, ...] = ()
    """Of its site."""


@dataclass(frozen=True, slots=True)
class Priced:
    """The parsed tariff and split that `Terms` name; both are unchangeable, so they may be remembered."""

    tariff: Tariff
    split: Split
    shares_by: SharesBy = "psp"
    reaches: dict[object, Any] = field(default_factory=dict, compare=False, repr=False)
    """What `watch.py` worked out of the tariff: sessions that start are many, amounts set aside are few."""


class Progress(NamedTuple):
    """What the readings of a running session amount to. Apart from `Session`: this changes with every reading."""

    lowest_wh: int | None = None
    highest_wh: int | None = None
    power_sum_w: int = 0
    power_count: int = 0

    def mean_power_w(self) -> int | None:
        """The average of the power readings, None where there was none."""
        return self.power_sum_w // self.power_count if self.power_count else None


NOTHING = Progress()


def metered(progress: Progress, readings: tuple[Reading, ...]) -> Progress:
    """`progress` and these readings; repeats are harmless to the registers."""
    lowest, highest, power_sum, power_count = progress
    for reading in readings:
        register = reading.register_wh
        if register is not None:
            if lowest is None or register < lowest:
                lowest = register
            if highest is None or register > highest:
                highest = register
        if reading.power_w is not None:
            power_sum += reading.power_w
            power_count += 1
    return Progress(lowest, highest, power_sum, power_count)


class Session(NamedTuple):
    """
    One row of the table `session`, column by column; see its comments there.

    A NamedTuple because it is replaced at every step: half a dozen times a session, on the hot road.

    `ref` is the wire's transaction id, `start_key` what a retry of the start repeats. Times are as
    billed. `hold_minor` is what is set aside for it, in the held account or at the psp.
    """

    station_id: str
    id: UUID
    ref: str
    start_key: str
    version: int
    state: State
    day: date
    connector: int | None
    max_power_w: int | None
    provider_id: str
    site_id: str | None
    terms_version: int
    tariff_id: str | None
    tariff_version: int | None
    currency: str | None
    token_key: bytes | None
    token_masked: str | None
    driver_id: str | None
    means: Means | None
    psp: str | None
    authorization_id: UUID | None
    hold_minor: int
    offline: bool
    started_at: datetime | None
    ended_at: datetime | None
    meter_start_wh: int | None
    meter_end_wh: int | None
    energy_wh: int | None
    fee_minor: int | None
    end_reason: str | None
    reason: str | None
    flags: tuple[str, ...]
    opened_at: datetime
    closed_at: datetime | None
    rest: Rest | None
    time_zone: str | None
    revision: int
    policy: Policy | None
    use: Use = "charge"
    host_bp: int = 0
    """The share of the site's host, of whose electricity a portable charger gives."""
    drawn_minor: int = 0
    """The part of its fee that vouchers released."""
    site_tags: tuple[str, ...] = ()
    """The tags of its site when it began."""
    stands_for: bytes | None = None
    """The key of the token that the one shown stands for; None: it is itself."""

    @property
    def token_owner(self) -> bytes | None:
        """The key of the token that it began with, whatever stood for it."""
        return self.stands_for or self.token_key


def opened(
    station: Station, session_id: UUID, ref: str, start_key: str, offline: bool, received_at: datetime
) -> Session:
    """A session of which nothing is known yet but that it exists."""
    terms = station.terms
    return Session(
        station_id=station.id,
        id=session_id,
        ref=ref,
        start_key=start_key,
        version=1,
        state="pending",
        day=received_at.date(),
        connector=None,
        max_power_w=None,
        provider_id=station.provider_id,
        site_id=station.site_id,
        terms_version=terms.terms_version if terms else station.terms_version,
        tariff_id=terms.tariff_id if terms else None,
        tariff_version=terms.tariff_version if terms else None,
        currency=terms.currency if terms else None,
        token_key=None,
        token_masked=None,
        driver_id=None,
        means=None,
        psp=None,
        authorization_id=None,
        hold_minor=0,
        offline=offline,
        started_at=None,
        ended_at=None,
        meter_start_wh=None,
        meter_end_wh=None,
        energy_wh=None,
        fee_minor=None,
        end_reason=None,
        reason=None,
        flags=(),
        opened_at=received_at,
        closed_at=None,
        rest=None,
        time_zone=station.time_zone,
        revision=0,
        policy=None,
        site_tags=station.tags,
    )


def located(session: Session, station: Station, connector: int | None) -> Session:
    """The session at its connector; the first report that names one is believed."""
    if connector is None or session.connector is not None:
        return session
    return session._replace(connector=connector, max_power_w=station.powers.get(connector))


def started(session: Session, at: datetime, meter_wh: int | None, flag: str | None, offline: bool) -> Session:
    """The fact of its start. Only the first counts."""
    if session.started_at is not None:
        return session
    return session._replace(
        started_at=at,
        meter_start_wh=meter_wh,
        offline=offline,
        flags=flagged(session.flags, flag),
    )


def ended(session: Session, at: datetime, meter_wh: int | None, reason: str, flag: str | None) -> Session:
    """The fact of its end. Only the first counts (quirk Q-T10)."""
    if session.ended_at is not None:
        return session
    state: State = "incomplete" if session.state == "pending" else session.state
    return session._replace(
        state=state,
        ended_at=at,
        meter_end_wh=meter_wh,
        end_reason=reason[:40],
        flags=flagged(session.flags, flag),
    )


def accepted(session: Session, driver_id: str, hold_minor: int, reason: str | None = None) -> Session:
    """A payer stands behind it. If it had ended, it now waits only to be closed."""
    return session._replace(state="active", driver_id=driver_id, hold_minor=hold_minor, reason=reason)


def refused(session: Session, reason: str, at: datetime) -> Session:
    """Nobody pays: it stays on record, without a bill."""
    return session._replace(state="invalid", reason=reason, closed_at=at)


def without(flags: tuple[str, ...], *gone: str) -> tuple[str, ...]:
    """`flags` but for those in `gone`."""
    return tuple(flag for flag in flags if flag not in gone)


def flagged(flags: tuple[str, ...], *more: str | None) -> tuple[str, ...]:
    """`flags` and what is new in `more`."""
    return flags + tuple(dict.fromkeys(flag for flag in more if flag and flag not in flags))
