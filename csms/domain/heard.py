"""Reports of items and doors heard once: their ids are kept for ever, with the answers they got."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha256
from uuid import UUID

from csms.base.ids import derived
from csms.domain.asset_events import AssetAnswer, Told, UnitsSeen
from csms.domain.assets import Cabinet, Key, Reported
from csms.domain.errand import Concern, Errand
from csms.domain.events import Outcome
from csms.domain.plausible import plausible_time
from csms.domain.world import Changes, World

GAP_PLACE = 1


def heard(world: World, event: Told) -> AssetAnswer | None:
    """The answer that this report got when it was heard before, None if it is news."""
    return world.assets.reported.get((event.station_id, event.id))


def again(answer: AssetAnswer) -> Outcome:
    """The same answer, marked as that of a repeat."""
    return Outcome("accepted", asset=replace(answer, repeated=True))


def key_of(world: World, event: Told) -> Key:
    """
    The place of a report in time: its own word, where that can be believed (quirk Q-R4).

    Many cabinets tell whole seconds. Of one instant the numbers of events say what came later, and a snapshot
    comes after the event that it names as the newest; ids, which may be drawn, only tell them apart.
    """
    earliest = event.received_at - timedelta(seconds=world.rules.late_s_max)
    at, _ = plausible_time(event.at, event.received_at, earliest)
    if isinstance(event, UnitsSeen) and event.last_seq is not None:
        return at, f"{event.last_seq:016}~{event.id}"
    return at, f"{event.seq or 0:016}/{event.id}"


def record(
    world: World,
    changes: Changes,
    event: Told,
    kind: str,
    answer: AssetAnswer,
    *,
    unit: int | None = None,
    item: str | None = None,
) -> Outcome:
    """Keeps a report with its answer."""
    at, _ = key_of(world, event)
    row = Reported(
        event.station_id, event.id, kind, event.seq, at, event.received_at, event.offline, unit, item, answer.error,
        answer.grant_id, answer.rental_id, answer.unit, answer.expires_at, event.raw,
    )  # fmt: skip
    changes.assets.reports.append(row)
    world.assets.reported[event.station_id, event.id] = answer
    if event.seq is not None:
        follow(world, changes, event.station_id, event.seq, event.received_at)
    return Outcome("accepted", reason=answer.error, asset=answer)


def follow(world: World, changes: Changes, station_id: str, seq: int, now: datetime) -> None:
    """How far the station's events are known; after a gap it is asked what is where, and people are told."""
    before = world.assets.cabinets.get(station_id) or Cabinet(station_id, None, None, 0)
    last = before.last_seq
    if last is not None and seq > last + 1:
        id_ = incident(station_id, f"gap/{seq}")
        details: dict[str, object] = {"after": last, "next": seq}
        changes.concerns.append(Concern(id_, "events_missing", f"{station_id}/{seq}", station_id, details, now))
        payload: dict[str, object] = {"station": station_id}
        key = f"station/{station_id}/report/{seq}"
        changes.errands.append(Errand(derived(id_, GAP_PLACE), "cabinet.report", key, f"station/{station_id}", payload))
    known = seq if last is None else max(last, seq)
    version = before.version if station_id in changes.assets.cabinets else before.version + 1
    after = Cabinet(station_id, known, now, version)
    world.assets.cabinets[station_id] = changes.assets.cabinets[station_id] = after


def incident(station_id: str, what: str) -> UUID:
    """The id of something that happened once at a station: the same every time it is asked."""
    return UUID(bytes=sha256(f"{station_id}|{what}".encode()).digest()[:16])


def named(id_: UUID, what: str) -> UUID:
    """The id of something of `id_`, of which it may have several: its own low byte is free for what is derived."""
    return UUID(int=incident(str(id_), what).int & ~0xFF)


def alarm(world: World, changes: Changes, event: Told, kind: str, **details: object) -> None:
    """People have to look: one line for this report."""
    ref = f"{event.station_id}/{event.id}"
    id_ = incident(event.station_id, f"{kind}/{event.id}")
    changes.concerns.append(Concern(id_, kind, ref, event.station_id, details, event.received_at))
