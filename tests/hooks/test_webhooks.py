"""Outgoing webhooks: what is sent, what counts as taken, and that nothing inside our own network is reached."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from aiohttp import web
from aiohttp.abc import AbstractResolver, ResolveResult

from csms.base import webhook
from csms.hooks.base import Endpoint, Message
from csms.hooks.webhooks import PublicResolver, WebhookNotifier, is_public, objection_to

KEY = b"k" * 32
AT = 1_790_000_000
MESSAGE = Message("msg_1", AT, b'{"type":"ping"}')


@dataclass
class Listener:
    """A server that others would be told by, with the answers it gives one after the other."""

    url: str = ""
    answers: list[web.Response | float] = field(default_factory=list)
    got: list[tuple[dict[str, str], bytes]] = field(default_factory=list)


@asynccontextmanager
async def listening(*answers: web.Response | float) -> AsyncIterator[Listener]:
    """A listener on loopback; an answer that is a number is that many seconds of silence."""
    listener = Listener(answers=list(answers))

    async def take(request: web.BaseRequest) -> web.StreamResponse:
        listener.got.append(({name.lower(): value for name, value in request.headers.items()}, await request.read()))
        answer = listener.answers.pop(0) if listener.answers else web.Response()
        if isinstance(answer, float):
            await asyncio.sleep(answer)
            return web.Response()
        return answer

    runner = web.ServerRunner(web.Server(take))
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        listener.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        yield listener
    finally:
        await runner.cleanup()


@asynccontextmanager
async def notifier(private: bool = True, call_s_max: float = 5.0) -> AsyncIterator[WebhookNotifier]:
    made = WebhookNotifier(private=private, call_s_max=call_s_max)
    try:
        yield made
    finally:
        await made.close()


async def test_a_message_arrives_signed_and_is_taken_by_any_2xx() -> None:
    async with listening(web.Response(status=204)) as listener, notifier() as sender:
        assert (await sender.send(MESSAGE, Endpoint(listener.url, (KEY, b"o" * 32)))).taken
    (headers, body) = listener.got[0]
    assert body == MESSAGE.body
    assert headers["webhook-id"] == "msg_1"
    assert webhook.fault([KEY], headers, body, AT) is None
    assert webhook.fault([b"o" * 32], headers, body, AT) is None


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 429, 500, 503])
async def test_any_other_answer_is_not_taken_and_no_redirect_is_followed(status: int) -> None:
    async with listening() as elsewhere, notifier() as sender:
        async with listening(web.Response(status=status, headers={"Location": elsewhere.url})) as listener:
            delivered = await sender.send(MESSAGE, Endpoint(listener.url, (KEY,)))
        assert not delivered.taken
        assert delivered.reason == f"status {status}"
        assert elsewhere.got == []


async def test_who_says_gone_wants_nothing_more() -> None:
    async with listening(web.Response(status=410)) as listener, notifier() as sender:
        assert (await sender.send(MESSAGE, Endpoint(listener.url, (KEY,)))).gone


async def test_a_slow_or_absent_listener_is_not_taken() -> None:
    async with listening(2.0) as listener, notifier(call_s_max=0.1) as sender:
        assert not (await sender.send(MESSAGE, Endpoint(listener.url, (KEY,)))).taken
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with notifier() as sender:
        assert not (await sender.send(MESSAGE, Endpoint(f"http://127.0.0.1:{port}/", (KEY,)))).taken


INSIDE = [
    "http://example.com/", "ftp://example.com/", "https://127.0.0.1/", "https://10.1.2.3/", "https://192.168.0.1:8443/",
    "https://172.16.5.5/", "https://169.254.169.254/latest/meta-data", "https://0.0.0.0/", "https://[::1]/",
    "https://[fe80::1]/", "https://[fd00::1]/", "https://[::ffff:10.0.0.1]/", "https://[64:ff9b::a00:1]/",
    "https://[2002:7f00:1::]/", "https://[::7f00:1]/", "https://[64:ff9b:1::a00:1]/", "https://localhost./",
    "https://localhost/", "https://LOCALHOST/", "https://a.localhost/", "https://db.internal/",
    "https://printer.local/", "https://2130706433/", "https://0x7f.1/", "https://127.1/", "https://0177.0.0.1/",
    "https://100.64.0.1/", "https://224.0.0.1/", "https://user:secret@example.com/", "https://", "not a url",
    "https://example.com/#part", "https://exa mple.com/", "https://ex\N{LATIN SMALL LETTER A WITH ACUTE}mple.com/",
    "https://example.com:99999/",
]  # fmt: skip


@pytest.mark.parametrize("url", INSIDE)
async def test_nothing_is_sent_into_our_own_network_or_in_clear(url: str) -> None:
    assert objection_to(url, private=False) is not None
    async with notifier(private=False) as sender:
        assert not (await sender.send(MESSAGE, Endpoint(url, (KEY,)))).taken


@pytest.mark.parametrize("url", ["https://example.com/hook?x=1", "https://8.8.8.8/", "https://[2606:4700::1111]:8443/"])
def test_public_addresses_may_be_told(url: str) -> None:
    assert objection_to(url, private=False) is None


def test_addresses_are_public_only_when_they_are_in_every_spelling() -> None:
    assert is_public("8.8.8.8") and is_public("2606:4700::1111")
    for inside in ("127.0.0.1", "::1", "::ffff:127.0.0.1", "64:ff9b::7f00:1", "10.0.0.1", "fe80::1%eth0", "", "x"):
        assert not is_public(inside)


class Lying(AbstractResolver):
    """A name service whose answers for one public name are inside our network."""

    def __init__(self, *hosts: str) -> None:
        self.hosts = hosts

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=found, port=port, family=family, proto=0, flags=socket.AI_NUMERICHOST)
            for found in self.hosts
        ]

    async def close(self) -> None:
        """Nothing is open."""


@pytest.mark.parametrize("hosts", [("127.0.0.1",), ("8.8.8.8", "10.0.0.1"), ("::1",)])
async def test_a_public_name_that_leads_inside_is_not_connected_to(hosts: tuple[str, ...]) -> None:
    resolver = PublicResolver(Lying(*hosts))
    with pytest.raises(OSError, match="not public"):
        await resolver.resolve("example.com", 443)
    assert (await PublicResolver(Lying("8.8.8.8")).resolve("example.com", 443))[0]["host"] == "8.8.8.8"


async def test_the_address_is_judged_when_it_is_connected_to() -> None:
    async with listening() as listener:
        port = listener.url.rpartition(":")[2].partition("/")[0]
        sender = WebhookNotifier(private=False, resolver=Lying("127.0.0.1"))
        delivered = await sender.send(MESSAGE, Endpoint(f"https://rebinding.example:{port}/", (KEY,)))
        await sender.close()
    assert not delivered.taken
    assert listener.got == []
