"""The load of battery stations: what it says is by the protocols, and the system swaps packs with it."""

from __future__ import annotations

import json

import pytest
from ocpp.messages import Call, validate_payload

from csms.ocpp.vendor import bodies
from tests.benchmarks import frames, swap_frames, swaps
from tests.benchmarks.swap_frames import Pack
from tests.benchmarks.test_load import payload_of

AT = b"2026-11-20T15:04:05.123Z"


def frames_of(version: str) -> list[bytes]:
    speech = swap_frames.SPEECHES[version](frames.token_text(7), "5f0e1a2b", 7)
    packs = [Pack(swap_frames.serial_of(7, unit).encode(), 9_800) for unit in range(1, 9)]
    return [
        speech.boot(0),
        speech.hello(1, AT),
        speech.snapshot(2, AT, packs),
        speech.request(3, AT, 3, "take", speech.token),
        speech.moved(4, AT, 41, "Battery.Released", 2**30 + 7, 8, packs[7]),
        speech.moved(5, AT, 42, "Battery.Inserted", 1, 8, packs[7]),
        speech.state(6, AT, 43, 1, packs[0]),
        speech.state(7, AT, 44, 2, packs[1]),
        speech.empty(8, AT, 8),
    ]


@pytest.mark.parametrize("version", ["1.6", "2.0.1", "2.1"])
async def test_every_prepared_report_is_valid_by_both_protocols(version: str) -> None:
    for frame in frames_of(version):
        _, message_id, action, payload = json.loads(payload_of(frame))
        await validate_payload(Call(message_id, action, payload), version)
        if action == "DataTransfer":
            bodies.read(payload["messageId"], payload["data"])
            assert isinstance(payload["data"], str) is (version == "1.6")


def test_only_2_1_tells_of_swaps_and_of_half_its_packs_in_words_of_ocpp() -> None:
    for version, native in (("1.6", 0), ("2.0.1", 0), ("2.1", 3)):
        actions = [json.loads(payload_of(frame))[2] for frame in frames_of(version)]
        assert actions.count("BatterySwap") + actions.count("TransactionEvent") == native


def test_riders_swap_packs_over_sockets_while_every_slot_is_told_of_and_the_books_are_clean() -> None:
    points = [swaps.Point("a few", "swaps", 6, 0.0, 1.0), swaps.Point("reports", "states", 6, 0.0, 0.5)]
    swapped, told = (point.result for point in swaps.measure(points, seconds=1.5))
    assert swapped is not None and told is not None
    assert swapped.sessions_total > 0
    assert told.by_kind["state"]["answers"] > 0
    assert "insertion" in swaps.lines(points)
    json.dumps(swaps.as_json(points))
