"""The composition root: builds the parts of a running system from its settings, and drains them on SIGTERM."""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import json
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial

import structlog

from csms import clocks, db, observe
from csms.api import auth, voucher_documents
from csms.api.app import Settings as ApiSettings
from csms.api.app import create_app
from csms.api.issuers import Issuer
from csms.api.server import listening
from csms.base.clock import Clock
from csms.base.errors import CsmsError
from csms.bus import LocalBus
from csms.config import Settings, parse_clock
from csms.db import SQL
from csms.domain.events import AuthorizationDecided, Event, Outcome, SessionMetered
from csms.domain.world import Rules
from csms.embedded import Embedded, home
from csms.flows import idempotency, station_vouchers
from csms.flows.authorize import Asker
from csms.flows.command import Commands, end_forgotten
from csms.flows.connect import Admission, pepper_of
from csms.flows.report import Reply, Road
from csms.flows.setup import SetupBook
from csms.flows.tariffs import quote_of
from csms.hooks.webhooks import WebhookNotifier
from csms.ocpp.calls import ALIAS_AGE, Submit
from csms.ocpp.draw import Draw
from csms.ocpp.gateway import COMMAND_S_MAX, Gateway
from csms.ocpp.handshake import PREFERRED
from csms.ocpp.setup import Setup
from csms.psp import registry
from csms.psp.base import Denied, Psp, VerifiedToken
from csms.worker import balance, cabinets, charging, deliveries, stations
from csms.worker.charging import CHARGING_SWEEP_S, ChargingTimer
from csms.worker.lending import LENDING_SWEEP_S, LendingTimer
from csms.worker.loop import Worker
from csms.worker.notify import NEWS, NEWS_SWEEP_S, Herald
from csms.worker.purchases import VOUCHERS
from csms.worker.settling import SETTLING
from csms.worker.spending import SPENDING_SWEEP_S, SpendingTimer
from csms.worker.sweep import sweeping
from csms.worker.tasks import TASKS, Outside
from csms.worker.tendency import TENDENCY_SWEEP_S, TendencyTimer
from csms.worker.timers import TIMERS_SWEEP_S, Timers
from csms.worker.watchdog import SILENT_AFTER, SILENT_AFTER_SIMULATED, WATCHDOG_SWEEP_S, Watchdog

EDGE_CONNECTIONS_MAX = 3
WORKER_CONNECTIONS_MAX = 4
"""The gateway, the worker and REST have database connections apart, so that none waits for another's."""

CHECK_S = 900.0
"""How often a running system checks its own books; `csms check` does at once."""

DRAIN_S_MAX = 5.0
"""How long reports that were not answered may take to be written at the end; their stations send them again."""

ANSWERS_SWEEP_S = 3_600.0
FORGOTTEN_SWEEP_S = 30.0
FORGOTTEN_AFTER = timedelta(seconds=2 * COMMAND_S_MAX)
FORGOTTEN_AFTER_SIMULATED = timedelta(days=1)
"""Older commands without an end were sent by a process that died; simulated minutes pass in no time."""

ALIAS_AGE_SIMULATED = timedelta(days=366)
"""Simulated time runs faster than drivers do: an alias lives through any jump of it."""

AtPoint = Callable[[str], None]

log = structlog.get_logger("csms")


class CannotListen(CsmsError):
    """An address that cannot be listened on; the text says which, why, and what chooses another."""


async def serve(
    settings: Settings, server: Awaitable[Embedded] | None = None, at_point: AtPoint = lambda name: None
) -> int:
    """
    Run everything in this process until SIGTERM or SIGINT; answers the exit status.

    `server` is the embedded one, if it is used and being started already. `at_point` is called at
    named points of the road and the worker, where a test may end the process.
    """
    observe.configure_logs(settings.log_level, settings.log_format)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    async with running(settings, server, at_point) as ready:
        gc.collect()
        gc.freeze()  # what is built lasts: each look for garbage in it takes 70 ms, in which nobody is served
        print(json.dumps(ready, separators=(",", ":")), flush=True)
        await stopping.wait()
        log.info("stopping")
    return 0


@asynccontextmanager
async def running(
    settings: Settings, server: Awaitable[Embedded] | None, at_point: AtPoint
) -> AsyncIterator[dict[str, str]]:
    """The running system; gives its ready line. Left, it closes its doors first and its database last."""
    async with AsyncExitStack() as stack:
        dsn = await stack.enter_async_context(_database(settings, server))
        clock = _clock(settings)
        set_up = registry.build(settings)
        psps = {name: made.psp for name, made in set_up.items()}
        notifier = WebhookNotifier(private=settings.webhooks_to_private)
        for close in (*(psp.close for psp in psps.values()), notifier.close):
            stack.push_async_callback(close)
        edge_pool = await _pool(stack, dsn, EDGE_CONNECTIONS_MAX, "csms edge", db.WRITER)
        worker_pool = await _pool(stack, dsn, WORKER_CONNECTIONS_MAX, "csms worker", db.WRITER)
        api_pool = await _pool(stack, dsn, settings.pool_size, "csms api", db.STAFF)

        draw = Draw()
        operator_accounts = {name: made.operator_account for name, made in set_up.items()}
        outside = Outside(worker_pool, psps, operator_accounts, clock, random.Random(), at_point, notifier=notifier)
        bus = LocalBus()
        commands = Commands(edge_pool, bus, clock)
        of_balance = balance.tasks(lambda event: road.check(event))
        of_cabinets = cabinets.tasks(commands, lambda event, reply: road.submit(event, reply))
        of_stations = {**stations.tasks(commands), **of_cabinets, **charging.tasks(commands)}
        of_api = ApiSettings(
            token_ttl_s=settings.token_ttl_s,
            psps=psps,
            private_hooks=settings.webhooks_to_private,
            issuers=_issuers(settings),
        )
        async with api_pool.acquire() as conn:
            signer = auth.Signer((await auth.load_keys(conn, clock()))[0], of_api.issuer, of_api.audience)
        of_vouchers = {**VOUCHERS, **deliveries.tasks(commands, partial(voucher_documents.sign, signer))}
        worker = Worker(outside, tasks={**TASKS, **SETTLING, **NEWS, **of_vouchers, **of_stations, **of_balance})

        def report(verdict: AuthorizationDecided) -> None:
            road.submit(verdict, _nobody_waits)

        asker = Asker(psps, report, clock, draw.short)
        policies = {name: made.policy for name, made in set_up.items()}
        rules = Rules(policies=policies, debt_minor_max=settings.debt_minor_max)
        road = Road(partial(db.writer, dsn), rules, asker, worker.wake, at_point)
        timers = Timers(worker_pool, psps, report, asker.asks, worker.wake, clock, draw.short)
        worker.start()
        stack.push_async_callback(worker.close)
        await road.start()
        stack.push_async_callback(_drained, road)
        stack.push_async_callback(asker.close)
        spending = SpendingTimer(worker_pool, road.spending_due, road.check, worker.wake, clock)
        herald = Herald(worker_pool, clock, worker.wake)
        silent_after = SILENT_AFTER_SIMULATED if isinstance(clock, clocks.Simulated) else SILENT_AFTER
        watchdog = Watchdog(
            worker_pool, lambda event: road.submit(event, _nobody_waits), clock, silent_after=silent_after
        )
        lending = LendingTimer(worker_pool, lambda event, reply: road.submit(event, reply), clock)
        order = ChargingTimer(worker_pool, worker.wake, clock)
        tendency = TendencyTimer(worker_pool, clock)
        async with edge_pool.acquire() as conn:
            await SQL.cabinets_away.run(conn, clock())
        for sweeps in (
            sweeping("lending", lending.sweep, LENDING_SWEEP_S),
            sweeping("charging", order.sweep, CHARGING_SWEEP_S),
            sweeping("timers", timers.sweep, TIMERS_SWEEP_S),
            sweeping("spending", spending.sweep, SPENDING_SWEEP_S),
            sweeping("news", herald.sweep, NEWS_SWEEP_S),
            sweeping("watchdog", watchdog.sweep, WATCHDOG_SWEEP_S),
            sweeping("tendency", tendency.sweep, TENDENCY_SWEEP_S),
            sweeping("commands", partial(_end_forgotten, edge_pool, clock), FORGOTTEN_SWEEP_S, at_once=True),
            sweeping("books", partial(_check_books, api_pool), CHECK_S),
            sweeping("answers", partial(_forget_answers, api_pool), ANSWERS_SWEEP_S, at_once=True),
        ):
            await stack.enter_async_context(sweeps)
        stack.push_async_callback(commands.stop)
        gateway = Gateway(
            submit=_following(road.submit, clock),
            admission=Admission(edge_pool, await pepper_of(edge_pool), clock),
            bus=bus,
            verify=partial(_verified, psps),
            clock=clock,
            alias_age=ALIAS_AGE_SIMULATED if isinstance(clock, clocks.Simulated) else ALIAS_AGE,
            setup=Setup(SetupBook(edge_pool, clock)),
            quotes=partial(quote_of, edge_pool, clock),
            vouchers=partial(station_vouchers.serve, edge_pool, clock),
        )

        def ready() -> dict[str, bool]:
            return {"listening": listens, "writer": road.is_ready()}

        listens = False
        app = await create_app(api_pool, clock, commands, road.submit, ready, of_api)
        with _said(settings.host, settings.http_port, "--http-port"):
            http_port = await stack.enter_async_context(listening(app, settings.host, settings.http_port))
        with _said(settings.host, settings.ocpp_port, "--ocpp-port"):
            ocpp_port = await gateway.start(settings.host, settings.ocpp_port)
        stack.push_async_callback(gateway.stop)
        for version in PREFERRED:
            observe.CONNECTIONS.labels(version).set_function(partial(_connected, gateway, version))
        listens = True
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        yield {"event": "ready", "ocpp": f"ws://{host}:{ocpp_port}/ocpp", "http": f"http://{host}:{http_port}"}
        listens = False


@contextmanager
def _said(host: str, port: int, flag: str) -> Iterator[None]:
    """Turns the failure to listen there into words, with the flag that takes another port."""
    try:
        yield
    except OSError as error:
        number = error.errno or 0
        why = os.strerror(number).lower() if number > 0 else error.strerror
        raise CannotListen(f"cannot listen on {host} port {port}: {why}; {flag} and --host choose another") from error


async def _drained(road: Road) -> None:
    """What waits is written, unless the database is away: the system ends all the same."""
    try:
        await asyncio.wait_for(road.close(), DRAIN_S_MAX)
    except TimeoutError:
        log.warning("reports left unanswered", seconds=DRAIN_S_MAX)


def _connected(gateway: Gateway, version: str) -> int:
    """Stations connected here that speak `version`."""
    return sum(station.peer is not None and station.peer.version == version for station in gateway.stations)


async def _end_forgotten(pool: db.Pool, clock: Clock) -> None:
    """End the commands of processes that died."""
    await end_forgotten(pool, clock, FORGOTTEN_AFTER if clock is clocks.wall else FORGOTTEN_AFTER_SIMULATED)


async def _check_books(pool: db.Pool) -> None:
    """Run every invariant; what does not hold is a metric and a line in the log."""
    async with pool.acquire() as conn:
        wrong = await db.check(conn)
    for name in db.checks():
        observe.CHECK_ROWS.labels(name).set(len(wrong.get(name, ())))
    for name, rows in wrong.items():
        log.error("check failed", check=name, rows=len(rows), first=str(dict(rows[0])))


async def _forget_answers(pool: db.Pool) -> None:
    """Forget first answers to requests that nobody repeats any more."""
    async with pool.acquire() as conn:
        await idempotency.sweep(conn)


@asynccontextmanager
async def _database(settings: Settings, starting: Awaitable[Embedded] | None) -> AsyncIterator[str]:
    """The DSN of a database whose schema is up to date: the one that was set, or the embedded one."""
    async with AsyncExitStack() as stack:
        if settings.database_url is not None:
            dsn = settings.database_url.get_secret_value()
        else:
            server = await stack.enter_async_context(await (starting or Embedded.start(settings.data_dir)))
            stack.enter_context(home.alone(settings.data_dir))
            keeping = asyncio.create_task(_keep_running(server), name="embedded")
            stack.callback(keeping.cancel)
            dsn = server.dsn
        conn = await db.connect(dsn, "csms migrate")
        try:
            for name in await db.migrate(conn):
                log.info("migrated", migration=name)
        finally:
            await conn.close()
        yield dsn


async def _keep_running(server: Embedded) -> None:
    """Restart a killed server; when it cannot be restarted, stop the system, for it can do nothing then."""
    try:
        await server.keep_running()
    except Exception:
        log.exception("the embedded database cannot be started again")
        signal.raise_signal(signal.SIGTERM)


async def _pool(stack: AsyncExitStack, dsn: str, size: int, name: str, role: str) -> db.Pool:
    pool = await db.pool(dsn, size=size, name=name, role=role)
    stack.callback(pool.terminate)
    return pool


def _clock(settings: Settings) -> Clock:
    """The system's clock."""
    simulated = parse_clock(settings.clock)
    return clocks.wall if simulated is None else clocks.Simulated(*simulated)


def _issuers(settings: Settings) -> tuple[Issuer, ...]:
    """Whose access tokens are taken beside our own: those that are set, and the social-payment server's of drivers."""
    found = [
        Issuer(
            issuer.issuer, issuer.audience, issuer.kind, issuer.algorithms, issuer.scope_claim, issuer.provider_claim,
            issuer.client_id, None if issuer.client_secret is None else issuer.client_secret.get_secret_value(),
        )
        for issuer in settings.issuers
    ]  # fmt: skip
    if settings.social_url is not None:
        social = (settings.social_issuer or settings.social_url).rstrip("/")
        found.append(Issuer(social, settings.social_audience, "driver", ("ES256",)))
    return tuple(found)


async def _verified(psps: Mapping[str, Psp], token: str, station_id: str) -> VerifiedToken | Denied:
    """Whose token this is: the word of the first psp that knows it, else the last one's reason."""
    word: VerifiedToken | Denied = Denied("no payment service is set up")
    for psp in psps.values():
        word = await psp.verify_token(token, station_id)
        if isinstance(word, VerifiedToken):
            break
    return word


def _following(submit: Submit, clock: Clock) -> Submit:
    """With a clock that follows reports: a report moves it before it is judged by it."""
    if not isinstance(clock, clocks.Simulated) or not clock.follows:
        return submit

    def follow(event: Event, reply: Reply) -> None:
        if isinstance(event, SessionMetered):
            at = event.readings[-1].at if event.readings else None
        else:
            at = getattr(event, "at", None)
        if at is not None and at > event.received_at:
            clock.follow(at)
            if isinstance(event, SessionMetered):
                event = event._replace(received_at=clock())
            else:
                event = dataclasses.replace(event, received_at=clock())
        submit(event, reply)

    return follow


def _nobody_waits(outcome: Outcome) -> None:
    """The reply of a report that no station sent."""
