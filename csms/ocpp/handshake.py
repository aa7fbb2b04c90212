"""The HTTP side of a connection: who asks, for which version, and the answer. No I/O."""

from __future__ import annotations

import base64
import binascii
import logging
from collections.abc import Sequence
from typing import cast
from urllib.parse import unquote

from websockets.datastructures import Headers
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.http11 import Request, Response
from websockets.server import ServerProtocol
from websockets.typing import Subprotocol

from csms.base.ids import STATION_ID
from csms.domain.credential import KEY_BYTES_MAX
from csms.ocpp.schemas import Version

PATH = "/ocpp/"
HEAD_BYTES_MAX = 16_384
PREFERRED: tuple[Version, ...] = ("ocpp2.1", "ocpp2.0.1", "ocpp1.6")

_END = b"\r\n\r\n"
_SILENT = logging.getLogger("csms.ocpp.handshake")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False
_DEFLATE = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)


class Handshake:
    """Reads the upgrade request of one connection and writes the answer to it."""

    __slots__ = ("_head", "_http", "_request", "_response", "complete", "rest", "version")

    def __init__(self) -> None:
        self._http = ServerProtocol(extensions=[_DEFLATE], select_subprotocol=_choose, max_size=None, logger=_SILENT)
        self._head = b""
        self._request: Request | None = None
        self._response: Response | None = None
        self.version: Version | None = None
        """The version that was agreed on; None when the station offers none of ours."""
        self.rest = b""
        """What the station sent behind its request without waiting for the answer."""
        self.complete = False

    def receive(self, chunk: bytes) -> bool:
        """Take what arrived; True once, when the request is complete or hopeless: only now ask for its parts."""
        if self.complete:
            self.rest += chunk
            return False
        self._head += chunk
        end = self._head.find(_END)
        if end < 0 and len(self._head) < HEAD_BYTES_MAX:
            return False
        if end >= 0:
            self._head, self.rest = self._head[: end + len(_END)], self._head[end + len(_END) :]
        self.complete = True
        self._http.receive_data(self._head)
        for event in self._http.events_received():
            if isinstance(event, Request):
                self._request = event
                self._response = self._http.accept(event)
                self.version = cast("Version | None", self._http.subprotocol)
        return True

    @property
    def station_id(self) -> str | None:
        """The id in the path, or None when the path is not ours; an id nobody can have is ""."""
        assert self._request is not None
        return station_id_of(self._request.path)

    @property
    def key(self) -> bytes | None:
        """The key that came with the id by HTTP Basic, as bytes; None when none came, or under another id."""
        assert self._request is not None
        return key_of(self._request.headers.get_all("Authorization"), self.station_id or "")

    @property
    def fault(self) -> bool:
        """Whether this is no upgrade request at all: `answer` has the refusal."""
        return self._response is None or self._response.status_code != 101

    @property
    def deflate(self) -> bool:
        """Whether compression was agreed on."""
        return bool(self._http.extensions)

    def answer(self) -> bytes:
        """The bytes of the answer to the request as it stands: 101, or the refusal of a request that is none."""
        if self._response is not None:
            self._http.send_response(self._response)
        return b"".join(self._http.data_to_send())

    def refuse(self, status: int, text: str) -> bytes:
        """The bytes of a refusal; `text` says why and what to do."""
        headers = Headers()
        headers["Connection"] = "close"
        headers["Content-Type"] = "text/plain; charset=utf-8"
        body = (text + "\n").encode()
        headers["Content-Length"] = str(len(body))
        if status == 401:
            headers["WWW-Authenticate"] = 'Basic realm="ocpp", charset="UTF-8"'
        return Response(status, _REASONS[status], headers, body).serialize()


_REASONS = {
    400: "Bad Request",
    401: "Unauthorized",
    404: "Not Found",
    503: "Service Unavailable",
}


def _choose(protocol: ServerProtocol, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The version we like best among those offered; None is judged later, by the station's row."""
    return next((Subprotocol(version) for version in PREFERRED if version in offered), None)


def station_id_of(path: str) -> str | None:
    """
    The station's id in a request path (quirks Q-H04, Q-H05).

    It is the last segment that is not empty, percent-decoded once. None for a path outside `/ocpp/`;
    "" for an id with characters that no station's id has (an encoded slash, letters that only look
    like ours) or of no possible length.
    """
    path = path.split("?", 1)[0].split("#", 1)[0]
    if not path.startswith(PATH):
        return None
    segments = [segment for segment in path[len(PATH) :].split("/") if segment]
    station_id = unquote(segments[-1], errors="replace") if segments else ""
    return station_id if STATION_ID.fullmatch(station_id) else ""


def key_of(headers: Sequence[str], station_id: str) -> bytes | None:
    """
    The key in an `Authorization: Basic` header (quirk Q-H06): what follows `{station id}:`, as bytes.

    The id may hold colons and the key any bytes. None for anything else.
    """
    if len(headers) != 1 or not station_id:
        return None
    scheme, _, encoded = headers[0].partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        decoded = base64.b64decode(encoded.strip(), validate=True)
    except (binascii.Error, ValueError):
        return None
    prefix = station_id.encode() + b":"
    key = decoded[len(prefix) :]
    return key if decoded.startswith(prefix) and 0 < len(key) <= KEY_BYTES_MAX else None
