"""
News by HTTP POST, signed as Standard Webhooks ask; never to an address inside our own network.

A name is judged by the addresses that are connected to, so that one which changes its mind between
look-up and connection gains nothing. Redirects are not followed.
"""

from __future__ import annotations

import ipaddress
import socket
from ipaddress import IPv4Address, IPv6Address
from urllib.parse import urlsplit

from aiohttp import ClientError, ClientSession, ClientTimeout, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import DefaultResolver

from csms.base import webhook
from csms.hooks.base import Delivered, Endpoint, Message

CALL_S_MAX = 20.0
CONNECT_S_MAX = 5.0
CONNECTIONS_MAX = 32
URL_LENGTH_MAX = 2_000
GONE = 410

NAT64 = ipaddress.ip_network("64:ff9b::/96")
"""IPv6 addresses that a network translates to the IPv4 address in their last 32 bits."""

NOT_PUBLIC = (ipaddress.ip_network("::/96"), ipaddress.ip_network("64:ff9b:1::/48"))
"""IPv6 addresses that hold an IPv4 one in a way out of use, or are translated inside a network alone."""


class NotAllowed(OSError):
    """An address that is not told anything; the text says why."""


class WebhookNotifier:
    """
    The `Notifier` of webhooks. Made inside a running event loop.

    `private`: http addresses and our own networks may be told. `resolver` looks names up.
    """

    def __init__(
        self, *, private: bool = False, call_s_max: float = CALL_S_MAX, resolver: AbstractResolver | None = None
    ) -> None:
        resolver = resolver or DefaultResolver()
        self._private = private
        self._http = ClientSession(
            connector=TCPConnector(
                limit=CONNECTIONS_MAX, resolver=resolver if private else PublicResolver(resolver), force_close=True
            ),
            timeout=ClientTimeout(total=call_s_max, connect=CONNECT_S_MAX),
        )

    async def send(self, message: Message, to: Endpoint) -> Delivered:
        """One POST; any 2xx is taken, the body of the answer is not read."""
        if (objection := objection_to(to.url, private=self._private)) is not None:
            return Delivered(False, objection)
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "csms",
            **webhook.sign(to.keys, message.id, message.at_s, message.body),
        }
        try:
            async with self._http.post(to.url, data=message.body, headers=headers, allow_redirects=False) as response:
                status = response.status
        except (ClientError, OSError, ValueError) as error:
            return Delivered(False, f"{type(error).__name__}: {error}"[:200])
        return Delivered(200 <= status < 300, None if 200 <= status < 300 else f"status {status}", status == GONE)

    async def close(self) -> None:
        """Close all connections."""
        await self._http.close()


class PublicResolver(AbstractResolver):
    """Looks names up, and refuses those that lead into a network that is not the public one."""

    def __init__(self, resolver: AbstractResolver) -> None:
        self._resolver = resolver

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """The addresses of a name; NotAllowed when any of them is not public."""
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            if not is_public(result["host"]):
                raise NotAllowed(f"{host} leads to an address that is not public")
        return found

    async def close(self) -> None:
        """Let go of the resolver."""
        await self._resolver.close()


def objection_to(url: str, *, private: bool) -> str | None:
    """Why this URL cannot be an endpoint, None if it can; names are judged when they are connected to."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port
    except ValueError:
        return "this is no URL"
    if len(url) > URL_LENGTH_MAX or not host or not url.isascii() or any(c.isspace() for c in url):
        return "this is no URL"
    if parts.username is not None or parts.fragment:
        return "a URL without user and fragment is asked for"
    if parts.scheme != "https" and not (private and parts.scheme == "http"):
        return "an https URL is asked for"
    if not private and _looks_numeric(host) and not is_public(host):
        return "this address is not public"
    if not private and f".{host.rstrip('.')}".endswith((".localhost", ".local", ".internal")):
        return "this address is not public"
    return None


def is_public(host: str) -> bool:
    """Whether an IP address is one of the public network, also behind the ways IPv6 has to write an IPv4 one."""
    try:
        address = ipaddress.ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return _is_public(address)


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        inside = address.ipv4_mapped or address.sixtofour or (address.teredo and address.teredo[1])
        if inside is None and address in NAT64:
            inside = IPv4Address(int(address) & 0xFFFFFFFF)
        if inside:
            return _is_public(inside)
        if any(address in network for network in NOT_PUBLIC):
            return False
    return address.is_global and not address.is_multicast


def _looks_numeric(host: str) -> bool:
    """An IP address in any of its spellings: those that only some read (`0x7f.1`, `2130706433`) count as not public."""
    last = host.rstrip(".").rpartition(".")[2].lower()
    return ":" in host or last.isdigit() or last.startswith("0x")
