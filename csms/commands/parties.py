"""`csms station add` and `csms staff add-client`: what must exist before anybody can use REST."""

from __future__ import annotations

import argparse
import getpass
import json
from datetime import UTC, datetime
from typing import cast

from csms.base.errors import Refused
from csms.commands.database import connected
from csms.config import Settings
from csms.db import Connection
from csms.flows import admin, clients
from csms.flows.audit import Event, append


def connector(text: str) -> admin.ConnectorSpec:
    """Read `NUMBER[:KIND[:MAX_POWER_W]]`, such as `1:outlet:11000`."""
    number, _, rest = text.partition(":")
    kind, _, power = rest.partition(":")
    try:
        return admin.ConnectorSpec(
            int(number), cast("admin.ConnectorKind", kind or "outlet"), int(power) if power else None
        )
    except ValueError:
        raise Refused(
            f"{text!r} is not a connector; write NUMBER[:KIND[:MAX_POWER_W]], such as 1:outlet:11000"
        ) from None


async def add_station(settings: Settings, arguments: argparse.Namespace) -> int:
    """Add a station; prints its password if one was generated, this once."""
    spec = admin.StationSpec(
        id=arguments.id,
        provider=arguments.provider,
        kind=arguments.kind,
        site=arguments.site,
        tariff=arguments.tariff,
        security_profile=arguments.security_profile,
        password=arguments.password,
        connectors=[connector(text) for text in arguments.connector or ["1"]],
    )
    async with connected(settings) as conn:
        now = datetime.now(UTC)
        async with conn.transaction():
            password = await admin.add_station(conn, spec, now)
            await _told(conn, "station add", {"station": spec.id}, now)
    if arguments.json:
        print(json.dumps({"station": spec.id, "password": password}))
    else:
        print(f"station {spec.id} added")
        if password is not None:
            print(f"its password, shown this once: {password}")
        if spec.tariff is None:
            print(f"it has no tariff: nobody can charge there before PUT /api/v1/stations/{spec.id}/tariff names one")
    return 0


async def add_client(settings: Settings, arguments: argparse.Namespace) -> int:
    """Add a client of the REST interface; prints its id and its secret, this once."""
    scopes = [scope for text in arguments.scope for scope in text.replace(",", " ").split()]
    async with connected(settings) as conn:
        now = datetime.now(UTC)
        async with conn.transaction():
            client, secret = await clients.add_client(conn, scopes, arguments.name, now, arguments.provider)
            await _told(conn, "staff add-client", {"client": client}, now)
    if arguments.json:
        print(
            json.dumps(
                {
                    "client_id": client,
                    "client_secret": secret,
                    "scopes": sorted(set(scopes)),
                    "provider": arguments.provider,
                }
            )
        )
    else:
        print(f"client_id      {client}\nclient_secret  {secret}\nThe secret is shown this once.")
    return 0


async def _told(conn: Connection, command: str, object_: dict[str, str], now: datetime) -> None:
    """Tell in the trail what the person at this machine's keyboard changed."""
    event = Event(now, f"command line of {getpass.getuser()}", None, None, "RUN", command, object_, None, "-")
    await append(conn, event, 201)
