"""A small client of the system's REST interface: a bearer token, JSON in and out, problems as sentences."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import aiohttp


class RestError(Exception):
    """The system refused a request; the text says what, and why in its own words."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


class Rest:
    """Requests to `url` (`http://host:port`) with the rights of one client."""

    def __init__(self, http: aiohttp.ClientSession, url: str, client_id: str, secret: str) -> None:
        self._http = http
        self.url = url.rstrip("/")
        self.credentials = (client_id, secret)
        self._token: str | None = None

    async def _sign_in(self) -> str:
        form = {"grant_type": "client_credentials"}
        client = b64encode(":".join(self.credentials).encode()).decode()
        headers = {"Authorization": f"Basic {client}"}
        async with self._http.post(f"{self.url}/oauth/token", data=form, headers=headers) as answer:
            body = await answer.json(content_type=None)
            if answer.status != 200:
                raise RestError(answer.status, f"the system gave no access token: {body}")
            return str(body["access_token"])

    async def call(self, method: str, path: str, body: Any = None, key: str | None = None) -> Any:
        """One request under `/api/v1`; `key` is its Idempotency-Key. A token that ran out is fetched anew."""
        for last in (False, True):
            self._token = self._token or await self._sign_in()
            headers = {"Authorization": f"Bearer {self._token}"} | ({"Idempotency-Key": key} if key else {})
            async with self._http.request(method, f"{self.url}/api/v1{path}", json=body, headers=headers) as answer:
                if answer.status == 401 and not last:
                    self._token = None
                    continue
                content = await answer.json(content_type=None) if answer.content_length != 0 else None
                if answer.status >= 400:
                    raise RestError(answer.status, f"{method} {path}: {answer.status} {content}")
                return content
        raise AssertionError("the second round returns or raises")

    async def get(self, path: str) -> Any:
        """GET."""
        return await self.call("GET", path)

    async def post(self, path: str, body: Any, key: str | None = None) -> Any:
        """POST."""
        return await self.call("POST", path, body, key)

    async def add(self, path: str, body: Any) -> None:
        """POST of something that may be there already (409): then it stays as it is."""
        try:
            await self.post(path, body)
        except RestError as error:
            if error.status != 409:
                raise

    async def all(self, path: str) -> list[dict[str, Any]]:
        """Every item of a list, page by page."""
        items: list[dict[str, Any]] = []
        cursor = None
        while True:
            sign = "&" if "?" in path else "?"
            page = await self.get(f"{path}{sign}limit=1000" + (f"&cursor={cursor}" if cursor else ""))
            items += page["items"]
            cursor = page["next_cursor"]
            if cursor is None:
                return items
