"""Access tokens of an issuer that others made: oidc-provider, as a process of its own (RS256, RFC 9068, RFC 7662)."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from aiohttp import BasicAuth

from csms import db
from csms.api.app import Settings
from csms.api.issuers import Issuer
from csms.api.routes import PREFIX
from tests.api.conftest import Rest, running
from tests.make import seed

FOLDER = Path(__file__).parents[1] / "oidc"

pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (FOLDER / "node_modules").is_dir(),
    reason="oidc-provider is not here: `make test` fetches it where there is Node.js",
)


@pytest.fixture(scope="module")
def provider_url() -> Iterator[str]:
    """The running issuer's address."""
    process = subprocess.Popen(
        ["node", "issuer.mjs"], cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert process.stdout is not None
    yield next(json.loads(line)["issuer"] for line in process.stdout if line.startswith("{"))
    process.kill()
    process.wait()
    process.stdout.close()


@pytest.fixture
async def rest(dsn: str, pool: db.Pool, provider_url: str) -> AsyncIterator[Rest]:
    """The interface, set up for that issuer."""
    issuer = Issuer(provider_url, "csms", "staff", ("RS256",), client_id="csms", client_secret="csms-secret")
    companies = Issuer(provider_url, "csms-companies", "staff", ("RS256",), provider_claim="company")
    async with pool.acquire() as conn:
        await seed(conn)
        await conn.execute("""
            insert into provider (id, name, terms_version, created_at) values ('Q', 'Q', 1, now());
            insert into provider_terms (provider_id, version, operator_bp, created_at) values ('Q', 1, 0, now());
            insert into station (id, kind, provider_id, created_at) values ('Q1', 'charger', 'Q', now())""")
    async with running(dsn, pool, Settings(acquire_s_max=5.0, issuers=(issuer, companies))) as rest:
        yield rest


async def token(rest: Rest, url: str, client: str, resource: str, scope: str = "stations:read") -> str:
    """An access token, as a program of staff's would get it."""
    form = {"grant_type": "client_credentials", "resource": f"urn:{resource}", "scope": scope}
    async with rest.http.post(f"{url}/token", data=form, auth=BasicAuth(client, f"{client}-secret")) as response:
        assert response.status == 200, await response.text()
        return str((await response.json())["access_token"])


async def stations(rest: Rest, bearer: str) -> int | set[str]:
    """What a token sees of the stations; the status where it sees none."""
    reply = await rest.raw("GET", f"{PREFIX}/stations", headers={"Authorization": f"Bearer {bearer}"})
    return {station["id"] for station in reply.json["items"]} if reply.status == 200 else reply.status


async def test_its_signed_token_opens_what_its_scopes_say(rest: Rest, provider_url: str) -> None:
    assert await stations(rest, await token(rest, provider_url, "staff", "csms")) == {"S1", "S2", "BARE", "Q1"}
    assert await stations(rest, await token(rest, provider_url, "staff", "csms", "reports:read")) == 403
    signed = await token(rest, provider_url, "staff", "csms")
    assert await stations(rest, signed[:-4] + "AAAA") == 401


async def test_a_companys_token_sees_that_provider_alone(rest: Rest, provider_url: str) -> None:
    assert await stations(rest, await token(rest, provider_url, "company-q", "csms:companies")) == {"Q1"}
    assert await stations(rest, await token(rest, provider_url, "staff", "csms:companies")) == 401


async def test_its_opaque_token_is_good_until_it_is_revoked(rest: Rest, provider_url: str) -> None:
    opaque = await token(rest, provider_url, "staff", "csms:opaque")
    revoked = await token(rest, provider_url, "staff", "csms:opaque")
    auth = BasicAuth("staff", "staff-secret")
    async with rest.http.post(f"{provider_url}/token/revocation", data={"token": revoked}, auth=auth) as response:
        assert response.status == 200
    assert await stations(rest, opaque) == {"S1", "S2", "BARE", "Q1"}
    assert await stations(rest, revoked) == 401
