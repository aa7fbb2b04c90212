"""WebSocket frames: whatever arrives in whatever pieces, whole messages come out or the right close code does."""

from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from csms.ocpp.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    Close,
    FrameError,
    Frames,
    Message,
    Ping,
    Pong,
    encode,
    encode_close,
)


def masked(
    payload: bytes, opcode: int = TEXT, *, fin: bool = True, rsv: int = 0, mask: bytes = b"\x01\x02\x03\x04"
) -> bytes:
    """One frame as a client sends it."""
    length = len(payload)
    head = bytes([fin << 7 | rsv | opcode])
    if length < 126:
        head += bytes([0x80 | length])
    elif length < 65_536:
        head += bytes([0x80 | 126]) + length.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + length.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[place % 4] for place, byte in enumerate(payload))


def deflated(text: str) -> bytes:
    deflater = zlib.compressobj(wbits=-15)
    return (deflater.compress(text.encode()) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


def code_of(data: bytes, **limits: int) -> int:
    with pytest.raises(FrameError) as broken:
        Frames(**limits).receive(data)  # type: ignore[arg-type]
    return broken.value.close_code


texts = st.text(max_size=300)
controls = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))


@st.composite
def streams(draw: st.DrawFn) -> tuple[list[Message], bytes]:
    """Messages, and one of the many ways to send them: fragmented, compressed, with controls in between."""
    messages: list[Message] = []
    data = b""

    def control() -> None:
        nonlocal data
        opcode, payload = draw(controls)
        messages.append(Ping(payload) if opcode == PING else Pong(payload))
        data += masked(payload, opcode, mask=draw(st.binary(min_size=4, max_size=4)))

    for text in draw(st.lists(texts, max_size=5)):
        if draw(st.booleans()):
            control()
        compressed = draw(st.booleans())
        payload = deflated(text) if compressed else text.encode()
        cuts = sorted(draw(st.lists(st.integers(0, len(payload)), max_size=3)))
        pieces = [payload[a:b] for a, b in zip([0, *cuts], [*cuts, len(payload)], strict=True)]
        for place, piece in enumerate(pieces):
            opcode = CONTINUATION if place else TEXT
            last = place == len(pieces) - 1
            mask = draw(st.binary(min_size=4, max_size=4))
            data += masked(piece, opcode, fin=last, rsv=0x40 if compressed and not place else 0, mask=mask)
            if not last and draw(st.booleans()):
                control()
        messages.append(text)
    return messages, data


@given(streams(), st.lists(st.integers(0, 3_000), max_size=8))
@settings(max_examples=150, deadline=None)
def test_any_fragments_in_any_pieces_give_the_same_messages(
    stream: tuple[list[Message], bytes], cuts: list[int]
) -> None:
    messages, data = stream
    frames = Frames(deflate=True)
    places = sorted({min(cut, len(data)) for cut in cuts})
    chunks = [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True)]

    read = [message for chunk in chunks for message in frames.receive(chunk)]

    assert sorted(map(str, read)) == sorted(map(str, messages))
    assert [message for message in read if isinstance(message, str)] == [
        message for message in messages if isinstance(message, str)
    ]
    assert frames.partial is None


@given(st.lists(st.binary(max_size=200), max_size=6), st.booleans())
@settings(max_examples=300, deadline=None)
def test_any_bytes_give_messages_or_a_frame_error(chunks: list[bytes], deflate: bool) -> None:
    frames = Frames(bytes_max=1_000, deflate=deflate)
    code = None
    for chunk in chunks:
        try:
            frames.receive(chunk)
        except FrameError as error:
            code = error.close_code
            break
    assert code in (None, 1002, 1003, 1007, 1009)


@given(st.binary(max_size=70_000))
@settings(max_examples=30, deadline=None)
def test_what_we_send_has_the_length_it_says(payload: bytes) -> None:
    frame = encode(TEXT, payload)
    head = {2: frame[1], 4: int.from_bytes(frame[2:4], "big"), 10: int.from_bytes(frame[2:10], "big")}
    assert frame.endswith(payload)
    assert head[len(frame) - len(payload)] == len(payload)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (encode(TEXT, b"{}"), 1002),  # not masked
        (masked(b"{}", rsv=0x40), 1002),  # Q-C09: compressed, never agreed on
        (masked(b"{}", rsv=0x20), 1002),
        (masked(b"{}", 3), 1002),
        (masked(b"", 0xB), 1002),
        (masked(b"{}", CONTINUATION), 1002),
        (masked(b"{", fin=False) + masked(b"}", TEXT), 1002),
        (masked(b"", PING, fin=False), 1002),
        (masked(bytes(126), PING), 1002),
        (masked(b"{}", BINARY), 1003),
        (masked(b"\xff\xfe"), 1007),
        (masked(b"\xc3", fin=False) + masked(b"\x28", CONTINUATION), 1007),
        (masked(b"\x03\xe8\xff", CLOSE), 1007),
        (masked(b"\x03", CLOSE), 1002),
        (masked((1005).to_bytes(2, "big"), CLOSE), 1002),
        (masked((2999).to_bytes(2, "big"), CLOSE), 1002),
    ],
)
def test_a_broken_frame_is_closed_with_its_code(data: bytes, code: int) -> None:
    assert code_of(data) == code


def test_a_message_too_long_is_refused_by_its_head_before_its_body_is_here() -> None:
    assert Frames().receive(masked(b"x" * 65_536)) == ["x" * 65_536]
    assert code_of(masked(b"x" * 65_537)[:14]) == 1009
    pieces = masked(b"x" * 40_000, fin=False) + masked(b"x" * 40_000, CONTINUATION)
    assert code_of(pieces) == 1009
    assert code_of(bytes([0x81, 0xFF]) + (2**62).to_bytes(8, "big")) == 1009
    assert Frames(bytes_max=1_048_576).receive(masked(b"x" * 1_048_576)) == ["x" * 1_048_576]


def test_a_message_that_inflates_beyond_the_limit_is_refused() -> None:
    frames = Frames(deflate=True)
    assert frames.receive(masked(deflated("x" * 65_536), rsv=0x40)) == ["x" * 65_536]
    with pytest.raises(FrameError) as bomb:
        frames.receive(masked(deflated("x" * 50_000_000), rsv=0x40))
    assert bomb.value.close_code == 1009


def test_what_is_not_compressed_though_it_says_so_is_a_protocol_error() -> None:
    with pytest.raises(FrameError) as broken:
        Frames(deflate=True).receive(masked(b"\x07" + b'[2,"1","Heartbeat",{}]', rsv=0x40))  # a block of no known kind
    assert broken.value.close_code == 1002


@given(st.binary(max_size=200))
def test_no_bytes_that_say_they_are_compressed_raise_anything_but_a_frame_error(payload: bytes) -> None:
    with contextlib.suppress(FrameError):
        Frames(deflate=True).receive(masked(payload, rsv=0x40))


def test_messages_before_a_fault_are_not_lost() -> None:
    messages: list[Message] = []
    with pytest.raises(FrameError):
        Frames().receive_into(messages, masked(b"one") + masked(b"two") + masked(b"{}", BINARY))
    assert messages == ["one", "two"]


def test_nothing_is_read_after_a_close() -> None:
    closing = masked((1001).to_bytes(2, "big") + b"bye", CLOSE)
    assert Frames().receive(closing + masked(b"more")) == [Close(1001, "bye")]
    assert Frames().receive(masked(b"", CLOSE)) == [Close(1005, "")]


def test_a_close_reason_is_cut_between_characters() -> None:
    frame = encode_close(1002, "é" * 100)
    assert len(frame) <= 2 + 125
    assert frame[4:].decode() == "é" * 61
