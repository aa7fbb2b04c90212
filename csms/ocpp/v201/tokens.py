"""The idToken of 2.0.1 and 2.1."""

from __future__ import annotations

from typing import Any

from csms.domain.token import canonical


def token_of(id_token: Any) -> str | None:
    """The canonical token, None where there is none that could pay (quirk Q-I07)."""
    if id_token is None or id_token.type == "NoAuthorization":
        return None
    return canonical(id_token.idToken or "") or None
