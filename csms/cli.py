"""The command `csms`: arguments in, one of `csms/commands` or the whole system started, an exit status out."""

from __future__ import annotations

import argparse
import asyncio
import importlib.metadata
import json
import os
import resource
import socket
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path

import uvloop

from csms import config, db
from csms.base.errors import CsmsError
from csms.commands import database, parties, reporting, settling
from csms.config import Settings
from csms.embedded import Embedded
from csms.flows import cdr

FAILED = 2
"""The exit status of a command that could not do what it was asked; 1 is a check that found something."""

INTERRUPTED = 130

Command = Callable[[Settings, argparse.Namespace], Coroutine[None, None, int]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run `csms` with `arguments` (those of the process by default); answers the exit status."""
    parsed = parser().parse_args(arguments)
    command: Command = parsed.command
    try:
        settings = config.load({name: getattr(parsed, name, None) for name in FLAGS})
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            return runner.run(command(settings, parsed))
    except (CsmsError, *db.TROUBLE) as error:
        if isinstance(error, BrokenPipeError):
            return _reader_gone()
        print(f"csms: {_words(error)}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        return INTERRUPTED


FLAGS = ("data_dir", "host", "ocpp_port", "http_port", "clock", "nats_url", "gateways")
"""Flags that are settings, by the setting's name."""


async def serve(settings: Settings, arguments: argparse.Namespace) -> int:
    """Everything in one process."""
    allow_many_connections()
    server = None
    if settings.database_url is None:
        server = asyncio.ensure_future(Embedded.start(settings.data_dir))
        await asyncio.sleep(0)  # PostgreSQL starts while we import what everything is made of
    from csms import serve as system

    return await system.serve(settings, server)


def allow_many_connections() -> None:
    """Raise the soft limit of open files to the hard one: it is often 1,024, and every station is one."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


async def show_settings(settings: Settings, arguments: argparse.Namespace) -> int:
    """Print the settings in force, secrets covered."""
    shown = settings.masked()
    if arguments.json:
        print(json.dumps(shown))
        return 0
    for name, value in shown.items():
        print(f"{name:24} {'-' if value is None else value}")
    return 0


def parser() -> argparse.ArgumentParser:
    """All commands and their arguments."""
    top = argparse.ArgumentParser("csms", description="A central system for stations that speak OCPP.")
    top.add_argument("--version", action="version", version=f"csms {importlib.metadata.version('csms')}")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    run = _command(commands, "serve", serve, "run everything in one process, on an embedded database unless told")
    run.add_argument("--host", help="address to listen on (127.0.0.1)")
    run.add_argument("--ocpp-port", type=int, help="port for stations, 0 for any (9000)")
    run.add_argument("--http-port", type=int, help="port for REST, 0 for any (8080)")
    run.add_argument("--clock", help="wall, or simulated time as START@SPEED: 2019-06-03T07:00:00Z@3600 or ...@max")
    run.add_argument("--gateways", type=int, help="gateway processes (1)")
    run.add_argument("--nats", dest="nats_url", help="message bus between processes (none: one process)")

    _command(commands, "migrate", database.migrate, "bring the database's schema up to date")
    _command(commands, "check", database.check, "check that books, energy and custody agree; status 1 if they do not")
    _command(commands, "config", show_settings, "print the settings in force, secrets covered")

    report = _command(commands, "report", reporting.report, "print a report; without a name, list them")
    report.add_argument("name", nargs="?", help="such as bills or settlements")
    report.add_argument("--format", choices=("csv", "json", "xlsx", "ocpi"), default="csv", help="(csv)")
    report.add_argument("--out", type=Path, metavar="FILE", help="write it there; the file appears when it is whole")
    report.add_argument("--from", dest="since", metavar="TIME", help="first date or instant that counts")
    report.add_argument("--to", dest="until", metavar="TIME", help="the first that does not count any more")
    report.add_argument("--as-of", metavar="TIME", help="as it was known when this time was first asked for")
    report.add_argument("--provider", help="only this provider's")
    report.add_argument("--by", help="what is added up by, such as day, provider or station")
    report.add_argument("--zone", help="time zone of days, such as Asia/Seoul")
    report.add_argument("--ocpi-version", choices=cdr.VERSIONS, default="2.2.1", help="of CDRs (2.2.1)")
    for narrowed in ("station", "site", "driver", "tariff", "connector-kind", "currency", "kind", "owner", "state"):
        report.add_argument(f"--{narrowed}", metavar="WHICH", help="only of it, where the report has it")

    settle = _command(commands, "settle", settling.settle, "draft the statement of a provider's period")
    settle.add_argument("--provider", required=True, help="whose statement")
    settle.add_argument("--month", metavar="YYYY-MM", help="a month of the provider's zone")
    settle.add_argument("--from", dest="since", metavar="DAY", help="instead: the first day")
    settle.add_argument("--to", dest="until", metavar="DAY", help="the first day that does not belong to it any more")

    station = commands.add_parser("station", help="stations").add_subparsers(required=True, metavar="COMMAND")
    add = _command(station, "add", parties.add_station, "let a station connect; prints a generated password once")
    add.add_argument("id", help="what the station calls itself: the end of its address")
    add.add_argument("--provider", required=True, help="who runs it and earns from it")
    add.add_argument("--kind", choices=("charger", "locker", "battery_station"), default="charger", help="(charger)")
    add.add_argument("--site", help="where it stands")
    add.add_argument("--tariff", help="what a use costs; nobody can charge without")
    add.add_argument("--connector", action="append", metavar="NUMBER[:KIND[:MAX_POWER_W]]", help="may be repeated (1)")
    add.add_argument("--password", help="instead of a generated one")
    add.add_argument("--security-profile", type=int, default=1, help="OCPP security profile 0 to 3 (1)")

    staff = commands.add_parser("staff", help="staff and machines").add_subparsers(required=True, metavar="COMMAND")
    client = _command(staff, "add-client", parties.add_client, "let a program use REST; prints id and secret once")
    client.add_argument("--scope", action="append", required=True, help="what it may do; may be repeated")
    client.add_argument(
        "--provider", help="whose staff it is, which sees no other provider's; the operator's if not said"
    )
    client.add_argument("--name", help="whose it is, for people to read")
    return top


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    command: Command,
    summary: str,
) -> argparse.ArgumentParser:
    """A command that takes the settings; all of them print JSON for programs when asked."""
    added = commands.add_parser(name, help=summary, description=summary[0].upper() + summary[1:] + ".")
    added.set_defaults(command=command)
    added.add_argument("--data-dir", type=Path, help="folder of the embedded database")
    added.add_argument("--json", action="store_true", help="print JSON")
    return added


def _words(error: BaseException) -> str:
    """An expected failure, in words for the person who ran the command."""
    state = getattr(error, "sqlstate", None)
    if state in ("42P01", "42703", "42883"):
        return f"the database's schema is not this version's ({error}); run csms migrate"
    if isinstance(error, ConnectionError | TimeoutError | socket.gaierror):
        return f"the database cannot be reached ({type(error).__name__}: {error or 'no answer'}); see csms config"
    if state is not None or isinstance(error, OSError):
        return f"{type(error).__name__}: {error or 'no answer'}"
    return str(error)


def _reader_gone() -> int:
    """Whoever read our output left (`csms report ... | head`): nothing more to say."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
