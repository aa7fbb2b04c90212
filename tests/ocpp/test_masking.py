"""No token is left in the text that is kept of a report, however it is written down."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.ocpp.masking import without_tokens

SECRET = "04A2246F99AA"
BODY = {"rid": 7, "token": SECRET, "slots": [{"u": 3}]}
TOKEN = {"idToken": SECRET, "type": "x", "additionalInfo": [{"additionalIdToken": SECRET, "type": "x"}]}
FRAMES = [
    json.dumps([2, "1", "DataTransfer", {"data": BODY}]),
    json.dumps([2, "1", "DataTransfer", {"data": json.dumps(BODY)}]),
    json.dumps([2, "1", "DataTransfer", {"data": json.dumps(json.dumps(BODY))}]),
    json.dumps([2, "1", "BatterySwap", {"idToken": TOKEN, "slots": 1}]),
    json.dumps(BODY).replace("token", "\\u0074oken"),
    json.dumps(BODY | {"Token": [SECRET]}),
    json.dumps(BODY | {"token": {"a": SECRET}}),
]


@pytest.mark.parametrize("frame", FRAMES)
def test_a_token_is_masked_and_the_rest_is_left(frame: str) -> None:
    kept = without_tokens(frame)
    assert SECRET not in kept and "slots" in kept
    assert json.loads(kept) and without_tokens(kept).count("slots") == 1


@pytest.mark.parametrize("frame", FRAMES[:4])
def test_a_frame_that_was_cut_off_anywhere_shows_no_token(frame: str) -> None:
    for end in range(len(frame)):
        kept = without_tokens(frame[:end])
        assert SECRET[4:] not in kept, frame[:end]


@pytest.mark.parametrize("text", ["", "{}", '[2,"1","X",{"a":1.50}]', "plain", "12", '{"a": "\\ud800"}'])
def test_text_without_a_token_is_left_as_it_is(text: str) -> None:
    assert without_tokens(text) == text


@given(st.text(max_size=60), st.integers(0, 3))
def test_any_text_can_be_kept(text: str, depth: int) -> None:
    for _ in range(depth):
        text = json.dumps({"data": text})
    assert isinstance(without_tokens(text + "[" * depth * 40_000), str)
