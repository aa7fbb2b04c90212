"""Start the social-payment server as a process of its own: `charge-points-sim social --port P`."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from random import Random

from aiohttp import web

from charge_points_sim.social.book import Book
from charge_points_sim.social.faults import Faults
from charge_points_sim.social.journal import JournalFile
from charge_points_sim.social.oidc import Issuer, kept_key, new_key
from charge_points_sim.social.server import Server
from charge_points_sim.social.state import State

DEFAULT_SECRET = "social-secret"


def main(argv: Sequence[str] | None = None) -> int:
    """Parse the command line, serve until SIGTERM or SIGINT."""
    args = parser().parse_args(argv)
    try:
        asyncio.run(serve(args))
    except OSError as error:
        print(f"cannot serve: {error}", flush=True)
        return 1
    return 0


def parser() -> argparse.ArgumentParser:
    """The flags of the command."""
    p = argparse.ArgumentParser(prog="charge-points-sim social", description=__doc__)
    p.add_argument("--host", default="127.0.0.1", help="address to listen on (%(default)s)")
    p.add_argument("--port", type=int, default=9100, help="port, 0 for a free one (%(default)s)")
    p.add_argument("--issuer", help="address under which tokens are issued (the address it listens on)")
    p.add_argument("--secret", default=DEFAULT_SECRET, help="secret key of the payment routes (%(default)s)")
    p.add_argument("--audience", default="csms", help="for whom tokens are made (%(default)s)")
    p.add_argument("--journal", type=Path, help="file that keeps all effects; the signing key is kept beside it")
    p.add_argument("--seed", type=int, default=1, help="seed of faults and ids (%(default)s)")
    p.add_argument(
        "--fee-bp", type=int, default=0, help="what the server keeps of payments, basis points (%(default)s)"
    )
    p.add_argument("--denied", action="append", default=[], metavar="PREFIX", help="refuse subjects that begin so")
    p.add_argument("--seller", action="append", default=[], metavar="ID", help="register a payee at the start")
    return p


async def serve(args: argparse.Namespace) -> None:
    """Serve until told to stop; one JSON line says when requests can be taken, and where."""
    runner_random = Random(args.seed)
    state = State(denied_prefixes=tuple(args.denied))
    book = Book(state, now=utc_now, random_32=lambda: runner_random.getrandbits(32))
    key = new_key() if args.journal is None else kept_key(args.journal.with_suffix(".key"))
    file = None if args.journal is None else JournalFile(args.journal)
    listening = socket.create_server((args.host, args.port), backlog=1024)
    url = f"http://{args.host}:{listening.getsockname()[1]}"
    issuer = Issuer(args.issuer or url, args.audience, key)
    faults = Faults(Random(args.seed + 1))
    server = Server(book, issuer, faults, args.secret, Random(args.seed + 2), file, args.fee_bp)
    server.restore()
    server.register(seller for seller in args.seller if seller not in state.sellers)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    runner = web.AppRunner(server.application(), access_log=None)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    print(json.dumps({"event": "ready", "http": url, "issuer": issuer.url}), flush=True)
    await stop.wait()
    await runner.cleanup()
    if file is not None:
        file.close()


def utc_now() -> str:
    """The present instant, for the journal."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")
