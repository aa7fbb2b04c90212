"""Signatures of webhooks: what Standard Webhooks gives as an example, and that nothing else passes."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from csms.base import webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE, AT, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1_614_265_330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
KEY = webhook.key_of(SECRET)
OTHER = b"o" * 24
keys = st.binary(min_size=24, max_size=64)
ids = st.text("abcdefghijklmnopqrstuvwxyz_0123456789", min_size=1, max_size=40)


def test_the_example_of_the_standard_is_signed_as_it_says() -> None:
    headers = webhook.sign([KEY], MESSAGE, AT, BODY)
    assert headers == {"webhook-id": MESSAGE, "webhook-timestamp": str(AT), "webhook-signature": SIGNATURE}
    assert webhook.secret(KEY) == SECRET


@given(keys, ids, st.integers(0, 2**33), st.binary(max_size=200))
def test_what_was_signed_is_genuine_while_it_is_fresh(key: bytes, id_: str, at: int, body: bytes) -> None:
    headers = webhook.sign([key], id_, at, body)
    assert webhook.fault([key], headers, body, at + webhook.TOLERANCE_S) is None
    assert webhook.fault([key], headers, body, at - webhook.TOLERANCE_S) is None
    assert webhook.fault([key], headers, body, at + webhook.TOLERANCE_S + 1) == "not fresh"
    assert webhook.fault([key], headers, body, at + 3 * 365 * 86_400) == "not fresh"


@pytest.mark.parametrize(
    "change",
    [
        {"webhook-id": "msg_another"},
        {"webhook-timestamp": str(AT + 1)},
        {"webhook-timestamp": f"{AT}.0"},
        {"webhook-signature": "v1,"},
        {"webhook-signature": SIGNATURE.replace("v1,", "v1a,")},
        {"webhook-signature": SIGNATURE[:-2] + "F="},
        {"webhook-signature": " ".join(["v1,x"] * 10 + [SIGNATURE])},
        {"webhook-signature": "v1,\N{SNOWMAN}"},
        {"webhook-id": "\udc80"},
        {"webhook-signature": "v1,\udc80"},
    ],
)
def test_a_message_whose_headers_were_changed_is_badly_signed(change: dict[str, str]) -> None:
    headers = webhook.sign([KEY], MESSAGE, AT, BODY) | change
    assert webhook.fault([KEY], headers, BODY, AT) == "badly signed"


def test_a_message_that_lacks_a_header_or_was_changed_is_not_genuine() -> None:
    headers = webhook.sign([KEY], MESSAGE, AT, BODY)
    for name in headers:
        assert webhook.fault([KEY], {**headers, name: ""}, BODY, AT) == "not signed"
    assert webhook.fault([KEY], headers, BODY + b" ", AT) == "badly signed"
    assert webhook.fault([OTHER], headers, BODY, AT) == "badly signed"
    assert webhook.fault([], headers, BODY, AT) == "badly signed"


def test_while_one_secret_takes_the_others_place_either_is_enough() -> None:
    both = webhook.sign([KEY, OTHER], MESSAGE, AT, BODY)
    for kept in ([KEY], [OTHER], [OTHER, KEY]):
        assert webhook.fault(kept, both, BODY, AT) is None


@pytest.mark.parametrize("text", ["", "whsec_", "whsec_short", "whsec_%%%", "whsec_" + "A" * 200])
def test_a_secret_that_is_none_is_refused_without_being_shown(text: str) -> None:
    with pytest.raises(ValueError, match="secret of webhooks") as refused:
        webhook.key_of(text)
    assert len(text) < 10 or text not in str(refused.value)
