"""One station's WebSocket: an asyncio protocol around websockets' Sans-I/O client and our station without I/O."""

from __future__ import annotations

import asyncio
import ssl
from base64 import b64encode
from collections.abc import Callable
from random import Random
from typing import Any, TypeVar, cast
from urllib.parse import quote

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake, InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from charge_points_sim.line import Call, CallFailed
from charge_points_sim.station import Station

ANSWER_S_MAX = 30.0
"""How long a station waits for an answer before it sends again, as most real ones do."""
BACK_OFF_S_MAX = 10.0
TRIES_MAX = 10
HANDSHAKE_S_MAX = 30.0
FRAME_BYTES_MAX = 1 << 20

Answer = TypeVar("Answer")


class CannotConnect(Exception):
    """The system refused the station, or nobody listens; says what to do."""


class Connection(asyncio.Protocol):
    """
    Connects a `Station` to `url` (`ws://host:port/ocpp`), and again with back-off whenever it is lost.

    `do` is how scenarios act: it starts an act of the station and awaits its end.
    """

    def __init__(self, station: Station, url: str, password: str | None, random: Random) -> None:
        self.station = station
        self._line = station.line
        self._uri = parse_uri(f"{url.rstrip('/')}/{quote(station.id, safe='')}")
        self._password = password
        self._random = random
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._open: asyncio.Future[None] | None = None
        self._stands = asyncio.Event()
        self._closing = False
        self._waits: tuple[Call, float] | None = None
        self._redial: asyncio.Task[None] | None = None

    async def connect(self) -> None:
        """Dials once. Raises `CannotConnect` when the system is not there or does not want this station."""
        self._ws = ClientProtocol(
            self._uri, subprotocols=[Subprotocol(self.station.device.subprotocol)], max_size=FRAME_BYTES_MAX
        )
        self._open = self._loop.create_future()
        context = ssl.create_default_context() if self._uri.secure else None
        try:
            async with asyncio.timeout(HANDSHAKE_S_MAX):
                await self._loop.create_connection(lambda: self, self._uri.host, self._uri.port, ssl=context)
                await self._open
        except TimeoutError:
            self.cut()  # its late answer must not meet the next try
            raise CannotConnect(f"{self._uri.host}:{self._uri.port} did not answer the handshake") from None
        except OSError as error:
            raise CannotConnect(f"cannot reach {self._uri.host}:{self._uri.port}: {error}") from None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The TCP connection stands: asks for the WebSocket, as user = station id where there is a password."""
        self._transport = cast(asyncio.Transport, transport)
        request = self._ws.connect()
        if self._password is not None:
            user = b64encode(f"{self.station.id}:{self._password}".encode()).decode()
            request.headers["Authorization"] = f"Basic {user}"
        self._ws.send_request(request)
        self._write()

    def data_received(self, data: bytes) -> None:
        """Bytes from the system."""
        ws = self._ws
        ws.receive_data(data)
        for event in ws.events_received():
            if isinstance(event, Frame):
                if event.opcode is Opcode.TEXT:
                    self._line.receive(bytes(event.data).decode())
            elif isinstance(event, Response):
                self._shaken(event)
        self.flush()

    def _shaken(self, response: Response) -> None:
        """The answer to the handshake."""
        assert self._open is not None
        error = self._ws.handshake_exc
        if error is None:
            self._open.set_result(None)
            self._stands.set()
            self._line.connected()
        elif not self._open.done():
            self._open.set_exception(CannotConnect(_explain(self.station.id, response, error)))

    def eof_received(self) -> bool:
        """The system has no more to say."""
        self._ws.receive_eof()
        self._write()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is gone; dials again unless it was closed on purpose."""
        self._transport = None
        if self._open is not None and not self._open.done():
            self._open.set_exception(CannotConnect(f"the system closed the connection of {self.station.id}"))
            return
        was_online = self._line.online
        self._stands.clear()
        self._line.disconnected()
        if was_online and not self._closing:
            self._redial = self._loop.create_task(self._dial_again())

    async def _dial_again(self) -> None:
        """Until it stands again: 0.1 s, doubled each time, half of it random."""
        wait_s = 0.1
        while not self._closing:
            await asyncio.sleep(wait_s * (0.5 + self._random.random() / 2))
            try:
                await self.connect()
                return
            except CannotConnect:
                wait_s = min(2 * wait_s, BACK_OFF_S_MAX)

    def flush(self) -> None:
        """Sends what the station has to say."""
        if self._line.online:
            frames = self._line.take()
            for frame in frames:
                self._ws.send_text(frame.encode())
            if frames and self._line.faults.cut_now():
                self._write()
                self.cut()
                return
        self._write()

    def _write(self) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        for data in self._ws.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.write_eof() if self._transport.can_write_eof() else self._transport.close()

    def cut(self) -> None:
        """Breaks the connection without a word."""
        if self._transport is not None:
            self._transport.abort()

    def look_after(self, now_s: float) -> None:
        """Called about once a second with the loop's time: sends again what waited too long for its answer."""
        call = self._line.waiting
        if call is None:
            self._waits = None
        elif self._waits is None or self._waits[0] is not call:
            self._waits = (call, now_s)
        elif now_s - self._waits[1] > ANSWER_S_MAX:
            self._waits = None
            self._line.overdue()
            self.flush()

    async def do(self, act: Callable[[Callable[[Answer], None]], Any]) -> Answer:
        """Starts an act of the station, sends it, and waits for what it settles with: `await c.do(station.boot)`."""
        end: asyncio.Future[Answer] = self._loop.create_future()

        def settle(answer: Answer) -> None:
            if not end.done():
                end.set_result(answer)

        act(settle)
        self.flush()
        return await end

    async def insist(self, act: Callable[[Callable[[Answer | CallFailed], None]], Any]) -> Answer:
        """As `do`, but tried again, once the connection stands, when there was no answer: as people do."""
        for _ in range(TRIES_MAX):
            answer: Answer | CallFailed = await self.do(act)
            if not isinstance(answer, CallFailed):
                return answer
            if not self._line.online:
                await self._stands.wait()
        raise CannotConnect(f"{self.station.id} got no answer {TRIES_MAX} times: {answer}")

    def tell(self, act: Callable[[], None]) -> None:
        """Starts an act whose end nobody waits for."""
        act()
        self.flush()

    async def close(self) -> None:
        """Says goodbye and stays away."""
        self._closing = True
        if self._redial is not None:
            self._redial.cancel()
        if self._transport is not None and self._ws.state is State.OPEN:
            self._ws.send_close(1000)
            self._write()
            await asyncio.sleep(0)
        if self._transport is not None:
            self._transport.close()


def _explain(station_id: str, response: Response, error: Exception) -> str:
    """Why a handshake failed, and what to do, in a sentence."""
    body = bytes(response.body or b"").decode(errors="replace").strip()[:300]
    if isinstance(error, InvalidStatus) and response.status_code == 401:
        return (
            f"the system does not know station {station_id}, or not with this password (401); add it: csms station add"
        )
    if isinstance(error, InvalidHandshake):
        return f"the system refused station {station_id}: {error} {body}".strip()
    return f"station {station_id}: {error}"
