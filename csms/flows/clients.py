"""Clients of the REST interface, the operator's or a provider's; and drivers whom other issuers vouch for."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

from csms.base.errors import NotFound, Refused
from csms.base.ids import uuid7
from csms.db import SQL, Connection
from csms.flows.admin import SCOPES

KEEP_OLD_S_MAX = 7 * 24 * 3600
"""How long a secret may go on working beside the one that replaces it."""


async def add_client(
    conn: Connection, scopes: Sequence[str], name: str | None, now: datetime, provider: str | None = None
) -> tuple[str, str]:
    """
    Add a client of the REST interface, of a provider when one is given; it sees no other's then.

    Answers its id and its secret, which is shown this once.
    """
    unknown = sorted(set(scopes) - SCOPES.keys())
    if unknown or not scopes:
        what = f"{unknown[0]!r} is not a scope" if unknown else "name at least one scope"
        raise Refused(f"{what}; scopes are {', '.join(SCOPES)}", "/scopes")
    if provider is not None and await SQL.show_provider.one(conn, provider) is None:
        raise Refused(f"there is no provider {provider}; add it first (POST /api/v1/providers)", "/provider")
    client_id, secret = f"client-{secrets.token_hex(8)}", secrets.token_urlsafe(32)
    await SQL.add_client.run(conn, client_id, hash_secret(secret), sorted(set(scopes)), name, now, provider)
    return client_id, secret


async def replace_secret(conn: Connection, client_id: str, keep_old_s: int) -> str:
    """A client's new secret, shown this once; the old one works for `keep_old_s` seconds more (wall clock)."""
    if not 0 <= keep_old_s <= KEEP_OLD_S_MAX:
        raise Refused(f"the old secret is kept for 0 to {KEEP_OLD_S_MAX} seconds", "/keep_old_s")
    secret = secrets.token_urlsafe(32)
    kept = timedelta(seconds=keep_old_s)
    if await SQL.replace_secret.value(conn, client_id, hash_secret(secret), kept) is None:
        raise NotFound(f"there is no client {client_id}, or it was revoked")
    return secret


async def revoke(conn: Connection, client_id: str, now: datetime) -> None:
    """Give a client no further tokens; those it has end within their life (15 minutes)."""
    if await SQL.revoke_client.value(conn, client_id, now) is None:
        raise NotFound(f"there is no client {client_id}")


def hash_secret(secret: str) -> bytes:
    """What is kept of a client's secret. It has 256 random bits, so a plain hash cannot be searched."""
    return hashlib.sha256(secret.encode()).digest()


async def driver_of(conn: Connection, issuer: str, subject: str, now: datetime) -> str:
    """The driver behind an issuer's subject, made now if it is the first time that this person comes."""
    known = await SQL.driver_of_identity.value(conn, issuer, subject)
    if known is None:
        new = str(uuid7(time.time_ns() // 1_000_000, secrets.randbits(80)))
        async with conn.transaction():
            await SQL.add_driver.value(conn, new, None, now, None)
            known = await SQL.claim_identity.value(conn, issuer, subject, new)
            if known != new:
                await SQL.drop_driver.run(conn, new)  # another request made the driver first
    return str(known)
