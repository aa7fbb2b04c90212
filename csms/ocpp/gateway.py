"""The OCPP server of one process: lets stations in, knows who is connected, carries commands to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, cast

import structlog

from csms import observe
from csms.base.clock import Clock
from csms.base.errors import WireError
from csms.bus import Bus, subject
from csms.db import TROUBLE
from csms.domain.commands import FEATURE_ABSENT, Answer, Command, DeliverVoucher, EndConnection, News, UseMeterKeys
from csms.domain.quote import Quote
from csms.domain.voucher_asks import VoucherAnswer, VoucherAsk
from csms.flows.connect import CHARGER, Admission, Admitted, Arrival
from csms.ocpp import frames, schemas
from csms.ocpp.asking import Asked
from csms.ocpp.calls import ALIAS_AGE, BATTERY_STATION, Desk, Submit
from csms.ocpp.cost import COST_S, Costs
from csms.ocpp.draw import Draw
from csms.ocpp.handshake import PREFERRED, Handshake
from csms.ocpp.limits import FailedLogins
from csms.ocpp.peer import Peer
from csms.ocpp.schemas import Version
from csms.ocpp.setup import CHARGING_S, SETTLE_S, Setup
from csms.ocpp.slot_uses import SlotUses
from csms.ocpp.socket import SILENCE_S_MIN, StationSocket
from csms.ocpp.stations import Stations
from csms.ocpp.tx_limits import TxLimits
from csms.ocpp.v16 import commands as commands_16
from csms.ocpp.v21 import commands as commands_21
from csms.ocpp.v201 import commands as commands_201
from csms.ocpp.wheel import Wheel
from csms.psp.base import Denied, VerifiedToken

BACKLOG = 4_096
"""Connections the kernel may hold for us while we are busy."""

COMMAND_S_MAX = 30
"""How long a station may take to answer a command."""

UNANSWERED_MAX = 3
"""So many calls of ours in a row may go without an answer before a connection is worth nothing."""

VERIFY_S_MAX = 10
VOUCHERS_S_MAX = 10
"""How long an issuer may take to stand for a long token."""

DRAIN_S = 3

UNAUTHORIZED = "Unknown station or wrong key."
"""All that a stranger is told."""

COMMANDS = {"ocpp1.6": commands_16.write, "ocpp2.0.1": commands_201.write, "ocpp2.1": commands_21.write}

Verify = Callable[[str, str], Awaitable[VerifiedToken | Denied]]
Quotes = Callable[[str], Awaitable[Quote | None]]
Vouchers = Callable[[VoucherAsk], Awaitable[VoucherAnswer]]

log = structlog.get_logger("csms.ocpp")


class Gateway:
    """
    The server. `submit` is the road's; `verify` asks an issuer about a long token, whose alias lives
    for `alias_age` on the system's clock: where that is simulated, it runs faster than drivers do.
    `setup` tells new stations which readings to send; None leaves them as they are. `quotes` says what
    a use at a station is priced by; None shows stations neither prices nor costs. Running costs are told
    every `cost_s`. `vouchers` answers vehicles that ask for them through stations; None knows no such messages.

    Build it inside the running loop; `start` opens the port, `stop` drains.
    """

    def __init__(
        self,
        *,
        submit: Submit,
        admission: Admission,
        bus: Bus,
        verify: Verify,
        clock: Clock,
        heartbeat_s: int = 300,
        alias_age: timedelta = ALIAS_AGE,
        setup: Setup | None = None,
        quotes: Quotes | None = None,
        cost_s: int = COST_S,
        vouchers: Vouchers | None = None,
    ) -> None:
        self.wheel = Wheel()
        self.silence_s = max(3 * heartbeat_s, SILENCE_S_MIN)
        self.stations: Stations[StationSocket] = Stations()
        log_calls = log.is_enabled_for(logging.DEBUG)
        later = asyncio.get_running_loop().call_later
        self._desk = Desk(submit, clock, self._ask_issuer, Draw(), later, heartbeat_s, alias_age, log_calls=log_calls)
        if vouchers is not None:
            self._desk = replace(self._desk, consult=partial(self._ask_for_vouchers, vouchers))
        self._admission = admission
        self._bus = bus
        self._verify = verify
        self._setup = setup
        self._quotes = quotes
        self._cost_s = cost_s
        self._failed = FailedLogins()
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._draining = False
        self._empty = asyncio.Event()

    async def start(self, host: str, port: int) -> int:
        """Open the port (0: any) and answer which; OSError when another process has it."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(partial(StationSocket, self), host, port, backlog=BACKLOG)
        self.wheel.start(loop)
        self._count()
        chosen: int = self._server.sockets[0].getsockname()[1]
        return chosen

    async def stop(self) -> None:
        """Close the port and every connection with 1012, so that stations redial at once (quirk Q-C08)."""
        self._draining = True
        if self._server is not None:
            self._server.close()
        for socket in self.stations:
            socket.close(frames.SERVICE_RESTART, "restarting, come back")
        if len(self.stations):
            with suppress(TimeoutError):
                await asyncio.wait_for(self._empty.wait(), DRAIN_S)
        for socket in self.stations:
            socket.cut()
        self.wheel.stop()
        for task in self._tasks:
            task.cancel()

    def _count(self) -> None:
        """Every second: what conversations counted goes to the metrics, whose own counters cost too much per call."""
        for (version, action, outcome), count in self._desk.counts.items():
            observe.CALLS.labels(version, action, outcome).inc(count)
        self._desk.counts.clear()
        self.wheel.after(1, self._count)

    # Letting stations in

    def arrived(self, socket: StationSocket, handshake: Handshake) -> None:
        """A whole upgrade request is here: judge it and answer it."""
        if handshake.fault:
            log.debug("no upgrade request", source=socket.source)
            observe.HANDSHAKES_REFUSED.labels("no_upgrade").inc()
            socket.refuse(handshake.answer())
        elif handshake.station_id is None:
            socket.refuse(handshake.refuse(404, "Stations connect to /ocpp/{station id}."))
        elif self._draining:
            socket.refuse(handshake.refuse(503, "This system is restarting. Try again in a few seconds."))
        else:
            self._spawn(self._judge(socket, handshake, handshake.station_id))

    async def _judge(self, socket: StationSocket, handshake: Handshake, station_id: str) -> None:
        source = socket.source
        if not self._failed.allows(station_id, source, self.wheel.now):
            observe.HANDSHAKES_REFUSED.labels("limited").inc()  # not logged: it may be a flood of strangers
            socket.refuse(handshake.refuse(401, UNAUTHORIZED))
            return
        try:
            admitted = await self._admission.admit(Arrival(station_id, handshake.key, handshake.version))
        except Exception:  # told by the admission, once for all that waited
            self._failed.undecided(station_id, source, self.wheel.now)
            socket.refuse(handshake.refuse(503, "The database is away. Try again in a few seconds."))
            return
        if admitted is None:
            self._failed.failed(source, self.wheel.now)
            observe.HANDSHAKES_REFUSED.labels("unauthorized").inc()
            log.info("station refused", station=station_id, source=source)
            socket.refuse(handshake.refuse(401, UNAUTHORIZED))
            return
        self._failed.succeeded(station_id, source, self.wheel.now)
        if admitted.protocol is None:
            names = ", ".join(PREFERRED)
            observe.HANDSHAKES_REFUSED.labels("subprotocol").inc()
            log.info("station offers no version of ours", station=station_id, source=source)
            why = f"Sec-WebSocket-Protocol must offer one of {names}; or set assume_protocol for this station."
            socket.refuse(handshake.refuse(400, why))
            return
        self._admit(socket, handshake, station_id, admitted)

    def _admit(self, socket: StationSocket, handshake: Handshake, station_id: str, admitted: Admitted) -> None:
        if socket.gone or self._draining:
            socket.refuse(handshake.refuse(503, "This system is restarting. Try again in a few seconds."))
            if (older := self.stations.find(station_id)) is not None:
                # Its epoch is past: no command would reach it any more. It may redial.
                older.close(frames.SERVICE_RESTART, "another connection of this station was here")
            return
        version = cast("Version", admitted.protocol)
        peer = Peer(self._desk, socket, station_id, version, admitted.epoch, admitted.strict)
        peer.keys = admitted.meter_keys
        peer.kind = admitted.kind
        if admitted.kind == BATTERY_STATION:
            peer.slots = SlotUses()
        if version == "ocpp2.1":
            peer.tx_limits = TxLimits(admitted.tx_limits)
        if self._setup is not None and not admitted.is_set_up:
            peer.on_boot = partial(self._booted, self._setup, socket, peer)
        if self._quotes is not None:
            booted = partial(self._quote_later, self._quotes, peer)
            peer.costs = Costs(version, partial(self._show, peer), self._second, booted, self._cost_s)
        socket.open(handshake.answer(), peer, handshake.deflate)
        older = self.stations.admit(socket)
        if older is not socket:
            self._bus.serve(subject(station_id, admitted.epoch), partial(self._command, socket))
        if older is not None:
            older.close(frames.NORMAL, "a newer connection of this station is here")
        log.info("station connected", station=station_id, version=version, epoch=admitted.epoch, source=socket.source)
        if handshake.rest:
            socket.data_received(handshake.rest)

    def left(self, socket: StationSocket) -> None:
        """A connection that had been let in is gone."""
        self._bus.drop(subject(socket.station_id, socket.epoch))
        newest = self.stations.release(socket)
        if self._draining and not len(self.stations):
            self._empty.set()
        log.info("station disconnected", station=socket.station_id, epoch=socket.epoch, newest=newest)
        if newest and socket.peer is not None and socket.peer.kind != CHARGER:
            self._spawn(self._missed(socket.station_id, socket.epoch))

    async def _missed(self, station_id: str, epoch: int) -> None:
        """A cabinet is away: nothing can be brought back to it."""
        try:
            await self._admission.left(station_id, epoch)
        except TROUBLE as error:
            log.warning("absence not written", station=station_id, error=str(error))

    # Setting new stations up

    def _booted(self, setup: Setup, socket: StationSocket, peer: Peer, after_s: int = SETTLE_S) -> None:
        """A station that was not set up yet: once it has settled, it is."""
        peer.on_boot = None
        self.wheel.after(after_s, lambda: self._spawn(self._set_up(setup, socket, peer)))

    async def _set_up(self, setup: Setup, socket: StationSocket, peer: Peer) -> None:
        ask = partial(self._ask, socket, peer)

        def learned(tx_limits: frozenset[str]) -> None:
            peer.tx_limits = TxLimits(tx_limits)

        try:
            if not await setup.run(peer.station_id, peer.version, ask, lambda: socket.gone, learned):
                self._booted(setup, socket, peer, CHARGING_S)
        except TROUBLE as error:  # the database is away: the next boot begins anew
            log.warning("station not set up", station=peer.station_id, error=str(error))

    # Showing prices and costs

    def _second(self) -> int:
        return self.wheel.now

    def _show(
        self, peer: Peer, action: str, payload: dict[str, Any], on_end: Callable[[Answer], None], timeout_s: int
    ) -> None:
        """Send a call that a station need not know: left without an answer, it is no sign of a dead connection."""
        asked = peer.asking.ask(action, payload, on_end)
        self.wheel.after(timeout_s, partial(peer.asking.give_up, asked, counts=False))

    def _quote_later(self, quotes: Quotes, peer: Peer) -> None:
        self.wheel.after(SETTLE_S, lambda: self._spawn(self._quote(quotes, peer)))

    async def _quote(self, quotes: Quotes, peer: Peer) -> None:
        """Tell a station that has settled after its boot what a use costs there."""
        try:
            quote = await quotes(peer.station_id)
        except TROUBLE as error:  # it hears of it with its next start
            log.warning("prices not told", station=peer.station_id, error=str(error))
            return
        if quote is not None and peer.costs is not None:
            peer.costs.quoted(quote)

    # Carrying commands

    async def _command(self, socket: StationSocket, command: Command | News) -> Answer:
        """Write `command` in the station's version, send it, wait for its end."""
        peer = socket.peer
        assert peer is not None
        if isinstance(command, UseMeterKeys):
            peer.keys = command.keys
            return Answer("accepted")
        if isinstance(command, EndConnection):
            socket.close(frames.NORMAL, command.reason)
            return Answer("accepted")
        try:
            action, payload = COMMANDS[peer.version](command, self._desk.clock())
            schemas.check(peer.version, action, payload)
        except WireError as fault:
            observe.COMMANDS.labels("failed").inc()
            return Answer("failed", error=f"{fault.code}: {fault.description}")
        answer = await self._ask(socket, peer, action, payload, counts=not isinstance(command, DeliverVoucher))
        if peer.version == "ocpp2.1" and peer.kind == BATTERY_STATION and answer.error == FEATURE_ABSENT:
            other = commands_21.otherwise(command, self._desk.clock())
            answer = answer if other is None else await self._ask(socket, peer, *other)
        observe.COMMANDS.labels(answer.end).inc()
        return answer

    async def _ask(
        self, socket: StationSocket, peer: Peer, action: str, payload: dict[str, Any], *, counts: bool = True
    ) -> Answer:
        """Send a call and wait for its end; `counts`: silence would be a sign of a dead connection."""
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Answer] = loop.create_future()

        def on_end(answer: Answer) -> None:
            if not ended.done():
                ended.set_result(answer)

        asked: Asked = peer.asking.ask(action, payload, on_end)
        timer = loop.call_later(COMMAND_S_MAX, self._give_up, socket, asked, counts)
        try:
            return await ended
        finally:
            timer.cancel()

    def _give_up(self, socket: StationSocket, asked: Asked, counts: bool) -> None:
        """The time of a call is over. A station that answers none at all has to redial (quirk Q-C06)."""
        assert socket.peer is not None
        asking = socket.peer.asking
        asking.give_up(asked, counts=counts)
        if asking.unanswered >= UNANSWERED_MAX:
            log.warning("station answers no call", station=socket.station_id)
            socket.close(frames.SERVICE_RESTART, "calls are not answered on this connection")

    # Long tokens

    def _ask_issuer(self, token: str, station_id: str, on_word: Callable[[VerifiedToken | Denied], None]) -> None:
        async def ask() -> None:
            try:
                word = await asyncio.wait_for(self._verify(token, station_id), VERIFY_S_MAX)
            except TimeoutError:
                word = Denied("no answer in time")
            except Exception as error:
                log.exception("an issuer could not be asked", station=station_id)
                word = Denied(type(error).__name__)
            on_word(word)

        self._spawn(ask())

    def _ask_for_vouchers(
        self, vouchers: Vouchers, question: VoucherAsk, on_answer: Callable[[VoucherAnswer], None]
    ) -> None:
        async def ask() -> None:
            try:
                answer = await asyncio.wait_for(vouchers(question), VOUCHERS_S_MAX)
            except Exception:  # also no answer in time: it may be asked again under the same id
                log.exception("vouchers could not be asked for", station=question.station_id)
                answer = VoucherAnswer("Busy")
            on_answer(answer)

        self._spawn(ask())

    def _spawn(self, work: Awaitable[None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
