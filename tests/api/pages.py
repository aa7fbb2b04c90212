"""Reading lists to their end."""

from __future__ import annotations

from tests.api.conftest import Rest


async def every(rest: Rest, path: str, limit: int = 2) -> list[dict[str, object]]:
    """All items of a list, page by page."""
    items, cursor = [], ""
    while True:
        page = await rest.get(f"{path}{'&' if '?' in path else '?'}limit={limit}{cursor}")
        items += page["items"]
        assert len(page["items"]) <= limit
        if page["next_cursor"] is None:
            return items
        cursor = f"&cursor={page['next_cursor']}"
