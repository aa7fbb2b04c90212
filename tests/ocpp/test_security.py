"""The security lines of the edge, on real sockets: who gets in, and what a broken client can do (nothing)."""

from __future__ import annotations

import asyncio
import base64
import itertools
import os
import statistics
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from csms.ocpp import frames
from csms.ocpp.handshake import key_of, station_id_of
from csms.ocpp.limits import STATION_FAILURES_MAX
from tests.ocpp.house import KEY, Rig, basic, give_key
from tests.ocpp.test_frames import masked

UPGRADE = (
    "GET {path} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
)


class Raw:
    """A client that can be as wrong as it likes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answer(self) -> str:
        """The HTTP answer, head and body, until the server hangs up or the head is a 101."""
        head = await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)
        if head.startswith(b"HTTP/1.1 101"):
            return head.decode()
        return (head + await asyncio.wait_for(self.reader.read(), 10)).decode()

    async def frame(self) -> tuple[int, bytes]:
        """Opcode and payload of the next short frame."""
        first, second = await asyncio.wait_for(self.reader.readexactly(2), 10)
        return first & 0x0F, await asyncio.wait_for(self.reader.readexactly(second), 10)


async def raw(rig: Rig, text: bytes) -> Raw:
    reader, writer = await asyncio.open_connection("127.0.0.1", rig.port)
    writer.write(text)
    return Raw(reader, writer)


def request(
    path: str = "/ocpp/S1", *headers: str, user: str = "S1", key: bytes = KEY, protocol: str = "ocpp1.6"
) -> bytes:
    lines = [f"Authorization: {basic(user, key)}", f"Sec-WebSocket-Protocol: {protocol}", *headers]
    return UPGRADE.format(path=path, more="".join(line + "\r\n" for line in lines)).encode()


async def opened(rig: Rig, *headers: str) -> Raw:
    client = await raw(rig, request("/ocpp/S1", *headers))
    assert (await client.answer()).startswith("HTTP/1.1 101")
    return client


async def test_unknown_wrong_and_missing_are_the_same_401(rig: Rig) -> None:
    answers = set()
    for text in (
        request("/ocpp/S9", user="S9"),
        request(key=b"wrong"),
        request("/ocpp/BARE", user="BARE"),
        request(user="S2"),
        request("/ocpp/S1%2F"),
        request("/ocpp/"),
        UPGRADE.format(path="/ocpp/S1", more="Sec-WebSocket-Protocol: ocpp1.6\r\n").encode(),
        UPGRADE.format(path="/ocpp/S1", more="Authorization: Bearer x\r\nSec-WebSocket-Protocol: ocpp1.6\r\n").encode(),
    ):
        client = await raw(rig, text)
        answers.add(await client.answer())
    assert len(answers) == 1
    (answer,) = answers
    assert answer.startswith("HTTP/1.1 401 Unauthorized\r\n")
    assert "WWW-Authenticate: Basic" in answer


async def test_an_unknown_station_is_refused_in_the_time_of_a_wrong_key(rig: Rig, monkeypatch: Any) -> None:
    monkeypatch.setattr("csms.ocpp.limits.STATION_FAILURES_MAX", 10_000)

    async def took(text: bytes) -> float:
        began = time.perf_counter()
        await (await raw(rig, text)).answer()
        return time.perf_counter() - began

    times: dict[str, list[float]] = {"unknown": [], "wrong": [], "none": []}
    nothing = UPGRADE.format(path="/ocpp/S1", more="Sec-WebSocket-Protocol: ocpp1.6\r\n").encode()
    for _ in range(40):
        times["unknown"].append(await took(request("/ocpp/S9", user="S9")))
        times["wrong"].append(await took(request(key=b"x" * 40)))
        times["none"].append(await took(nothing))
    medians = [statistics.median(values) for values in times.values()]
    assert max(medians) < 5 * min(medians), medians  # an early refusal would be a hundred times faster


@pytest.mark.parametrize("sent", [KEY, bytes.fromhex(KEY.decode()), KEY.upper()])
async def test_a_key_in_hex_is_the_same_as_its_bytes(rig: Rig, sent: bytes) -> None:
    station = await rig.station("ocpp1.6", key=sent)
    await station.leave()


async def test_a_key_of_any_bytes_is_a_key(rig: Rig, conn: Any) -> None:
    key = bytes(range(200, 256)) + b":\0"
    await give_key(conn, "S1", key)
    station = await rig.station("ocpp1.6", key=key)
    await station.leave()
    with pytest.raises(InvalidStatus):
        await rig.station("ocpp1.6", key=key + b"x")


async def test_an_id_with_colons_is_an_id(rig: Rig, conn: Any) -> None:
    station_id = "00:80:F4:1A"
    await conn.execute(
        "insert into station (id, kind, provider_id, created_at) values ($1, 'charger', 'P', now())", station_id
    )
    await give_key(conn, station_id, KEY)
    station = await rig.station("ocpp2.0.1", station_id, path="/ocpp/00%3A80:F4:1A/")
    assert rig.gateway.stations.find(station_id) is not None
    await station.leave()


def test_the_id_is_the_last_segment_decoded_once_and_of_our_letters() -> None:
    assert station_id_of("/ocpp/CP_1") == "CP_1"
    assert station_id_of("/ocpp/CP_1/") == "CP_1"
    assert station_id_of("/ocpp/ws://host:9000/CP_1/SERIAL_1234") == "SERIAL_1234"
    assert station_id_of("/ocpp/CP%5F1?token=x") == "CP_1"
    for odd in (
        "/ocpp/",
        "/ocpp",
        "/ocpp/a%2Fb",
        "/ocpp/a%252Fb",
        "/ocpp/СP1",
        "/ocpp/%D0%A1P1",
        "/ocpp/a%00",
        "/ocpp/a%0A",
        "/ocpp/" + "x" * 49,
        "/ocpp/a%FF",
        "/ocpp/a b",
        "/ocpp/a%20b",
    ):
        assert not station_id_of(odd), odd
    assert station_id_of("/other/CP_1") is None
    assert station_id_of("/ocppCP_1") is None


def test_the_key_follows_the_id_and_nothing_else() -> None:
    assert key_of([basic("a:b", b"c:d")], "a:b") == b"c:d"
    assert key_of([basic("a", b"key")], "A") is None
    assert key_of([basic("a", b"")], "a") is None
    assert key_of([basic("a", b"x" * 256)], "a") is None
    assert key_of([basic("a", b"k")] * 2, "a") is None
    assert key_of(["Basic !!!"], "a") is None
    assert key_of(["basic " + base64.b64encode(b"a:k").decode()], "a") == b"k"
    assert key_of([], "a") is None


async def test_after_many_failures_nothing_is_looked_up_but_the_true_station_elsewhere_comes_in(rig: Rig) -> None:
    station = await rig.station("ocpp1.6", "S2")
    await station.leave()
    for _ in range(STATION_FAILURES_MAX):
        assert "401" in await (await raw(rig, request(key=b"wrong"))).answer()
    assert "401" in await (await raw(rig, request())).answer()
    station = await rig.station("ocpp1.6", "S2")
    await station.leave()


@pytest.mark.parametrize("protocol", ["ocpp1.5", "", "soap"])
async def test_a_wrong_subprotocol_is_refused_with_a_reason(rig: Rig, conn: Any, protocol: str) -> None:
    text = request(protocol=protocol) if protocol else request().replace(b"Sec-WebSocket-Protocol: ocpp1.6\r\n", b"")
    answer = await (await raw(rig, text)).answer()
    assert answer.startswith("HTTP/1.1 400 Bad Request\r\n")
    assert "ocpp2.1, ocpp2.0.1, ocpp1.6" in answer
    assert await conn.fetchval("select epoch from station where id = 'S1'") == 0


async def test_a_station_that_names_no_version_may_have_one_assumed(rig: Rig, conn: Any) -> None:
    await conn.execute("update station set assume_protocol = 'ocpp1.6' where id = 'S1'")
    client = await raw(rig, request().replace(b"Sec-WebSocket-Protocol: ocpp1.6\r\n", b""))
    answer = await client.answer()
    assert answer.startswith("HTTP/1.1 101")
    assert "Sec-WebSocket-Protocol" not in answer
    client.writer.write(masked(b'[2,"1","Heartbeat",{}]'))
    assert (await client.frame())[1].startswith(b'[3,"1",')


async def test_what_is_no_upgrade_request_is_refused_cheaply(rig: Rig) -> None:
    for text, status in (
        (b"GET /ocpp/S1 HTTP/1.1\r\nHost: x\r\n\r\n", "426"),
        (b"POST /ocpp/S1 HTTP/1.1\r\nHost: x\r\n\r\n", "405"),
        (request("/other/S1"), "404"),
        (request().replace(b"Connection: Upgrade\r\n", b""), "426"),
        (request().replace(b"MDEyMzQ1Njc4OWFiY2RlZg==", b"short"), "400"),
        (b"GET /ocpp/S1 HTTP/1.1\r\n" + b"x: " + b"y" * 20_000 + b"\r\n\r\n", "431"),
    ):
        answer = await (await raw(rig, text)).answer()
        assert answer.startswith(f"HTTP/1.1 {status} "), text[:60]


async def test_what_is_no_http_is_hung_up_on(rig: Rig) -> None:
    client = await raw(rig, os.urandom(100) + b"\r\n\r\n")
    assert await asyncio.wait_for(client.reader.read(), 10) == b""


async def test_frames_sent_right_behind_the_request_are_read(rig: Rig) -> None:
    client = await raw(rig, request() + masked(b'[2,"1","Heartbeat",{}]'))
    await client.answer()
    assert (await client.frame())[1].startswith(b'[3,"1",')


async def test_a_broken_frame_closes_its_connection_and_no_other(rig: Rig) -> None:
    other = await rig.station("ocpp1.6", "S2")
    for data, code in (
        (frames.encode(frames.TEXT, b"{}"), 1002),
        (masked(b"{}", frames.BINARY), 1003),
        (masked(b"\xff"), 1007),
        (masked(b"x" * 65_537)[:14], 1009),
        (masked(b"{}", rsv=0x40), 1002),
    ):
        client = await opened(rig)

        client.writer.write(data)

        opcode, payload = await client.frame()
        assert (opcode, int.from_bytes(payload[:2], "big")) == (frames.CLOSE, code)
        assert (await other.call("Heartbeat", {}))["currentTime"]
    await other.leave()


async def test_pings_are_answered_and_a_close_is_agreed_to(rig: Rig) -> None:
    client = await opened(rig)
    client.writer.write(masked(b"now", frames.PING) + masked(b"", frames.CLOSE))
    assert await client.frame() == (frames.PONG, b"now")
    assert await client.frame() == (frames.CLOSE, (1000).to_bytes(2, "big"))
    assert await asyncio.wait_for(client.reader.read(), 10) == b""


async def test_a_connection_that_never_says_who_it_is_is_hung_up_on(rig: Rig) -> None:
    client = await raw(rig, b"GET /ocpp/S1 HTTP/1.1\r\n")
    await _until(lambda: _ticked(rig, 16))
    assert await asyncio.wait_for(client.reader.read(), 10) == b""


async def test_a_silent_connection_is_pinged_and_then_given_up(rig: Rig) -> None:
    client = await opened(rig)
    await _until(lambda: _ticked(rig, 121))
    assert await client.frame() == (frames.PING, b"")
    await _until(lambda: _ticked(rig, 900))
    assert len(rig.gateway.stations) == 0


async def test_a_station_that_does_not_read_is_not_read_either(rig: Rig) -> None:
    client = await opened(rig)
    answered = len(rig.events)
    beat = masked(b'[2,"1","Heartbeat",{}]')

    async def shout() -> None:  # until the kernel's buffers are full, because we have stopped reading
        while True:
            client.writer.write(beat * 10_000)
            await asyncio.wait_for(client.writer.drain(), 0.5)

    with pytest.raises(asyncio.TimeoutError):
        await shout()
    assert len(rig.events) == answered
    other = await rig.station("ocpp1.6", "S2")
    assert (await other.call("Heartbeat", {}))["currentTime"]
    await other.leave()
    client.writer.transport.abort()


async def test_what_one_station_reports_touches_nothing_of_another(rig: Rig, conn: Any) -> None:
    first, second = await rig.station("ocpp1.6"), await rig.station("ocpp1.6", "S2")
    begin = {"connectorId": 1, "idTag": "A0A0A0A0", "meterStart": 0, "timestamp": "2026-11-20T12:00:00Z"}
    number = (await first.call("StartTransaction", begin))["transactionId"]
    end = {"transactionId": number, "meterStop": 9_000, "timestamp": "2026-11-20T12:00:00Z"}
    assert await second.call("StopTransaction", end) == {}
    values = [{"timestamp": "2026-11-20T12:00:00Z", "sampledValue": [{"value": "500"}]}]
    assert await second.call("MeterValues", {"connectorId": 1, "transactionId": number, "meterValue": values}) == {}

    assert await conn.fetchval("select state from session") == "active"
    assert await conn.fetchval("select count(*) from reading where register_wh = 500") == 0
    assert await conn.fetchval("select count(*) from parked_report where station_id = 'S2'") == 2
    await first.leave()
    await second.leave()


async def test_ids_of_transactions_are_not_guessable(rig: Rig) -> None:
    station = await rig.station("ocpp1.6")
    numbers = []
    for meter in range(8):
        begin = {"connectorId": 1, "idTag": "B0B0B0B0", "meterStart": meter, "timestamp": "2026-11-20T12:00:00Z"}
        numbers.append((await station.call("StartTransaction", begin))["transactionId"])
    assert all(0 < number < 2**31 for number in numbers)
    gaps = {later - earlier for earlier, later in itertools.pairwise(numbers)}
    assert len(gaps) == 7
    assert max(numbers) - min(numbers) > 2**20
    await station.leave()


async def test_the_key_is_nowhere_in_the_log(rig: Rig, capsys: Any) -> None:
    station = await rig.station("ocpp1.6")
    await station.leave()
    with pytest.raises(InvalidStatus):
        await rig.station("ocpp1.6", key=b"canary-key")
    printed = capsys.readouterr()
    assert "S1" in printed.out + printed.err
    for secret in (KEY.decode(), "canary-key", basic("S1", KEY), basic("S1", b"canary-key")):
        assert secret not in printed.out + printed.err


async def test_a_thousand_broken_connections_leave_nothing_behind(rig: Rig) -> None:
    async def broken(number: int) -> None:
        client = await raw(rig, request()[: number % 300] + os.urandom(number % 50))
        client.writer.transport.abort()

    for start in range(0, 1_000, 50):
        await asyncio.gather(*[broken(number) for number in range(start, start + 50)])
    station = await rig.station("ocpp2.1")
    assert (await station.call("Heartbeat", {}))["currentTime"]
    assert len(rig.gateway.stations) == 1
    await station.socket.send(b"binary")
    with pytest.raises(ConnectionClosed):
        await station.hear()


async def _ticked(rig: Rig, seconds: int) -> bool:
    """Seconds pass on the wheel at once; the loop then runs what that set off."""
    for _ in range(seconds):
        rig.gateway.wheel.tick()
    await asyncio.sleep(0.05)
    return True


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    await asyncio.sleep(0.05)
    assert await condition()
