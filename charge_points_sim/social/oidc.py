"""The identity side of the social-payment server: an ES256 key, its JWKS, and tokens of simulated drivers."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from joserfc import jwt
from joserfc.jwk import ECKey

from charge_points_sim.social.requests import DriverToken


@dataclass(frozen=True, slots=True)
class Issuer:
    """Signs tokens as `url` with `key`. Tokens are made for `audience` unless the request names another."""

    url: str
    audience: str
    key: ECKey

    def configuration(self) -> dict[str, Any]:
        """The OpenID Connect discovery document."""
        return {
            "issuer": self.url,
            "jwks_uri": f"{self.url}/.well-known/jwks.json",
            "token_endpoint": f"{self.url}/oauth/driver-token",
            "response_types_supported": ["token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        }

    def jwks(self) -> dict[str, Any]:
        """The public key, by which everybody can check a token."""
        return {"keys": [self.key.as_dict(private=False)]}

    def token(self, request: DriverToken, now: int, jti: str) -> str:
        """A signed token for a driver, several hundred characters long. `now` is seconds since 1970."""
        header = {"alg": "ES256", "typ": "JWT", "kid": self.key.kid}
        claims = {
            "iss": self.url,
            "sub": request.subject,
            "aud": request.audience or self.audience,
            "iat": now,
            "exp": now + request.expires_in,
            "jti": jti,
            "scope": "driver:self",
        }
        return jwt.encode(header, claims, self.key)


def new_key() -> ECKey:
    """A fresh P-256 signing key, named by its thumbprint."""
    key = ECKey.generate_key("P-256", {"use": "sig", "alg": "ES256"}, private=True)
    return ECKey.import_key({**key.as_dict(private=True), "kid": key.thumbprint()})


def kept_key(path: Path) -> ECKey:
    """The key kept in `path`, made at the first run: tokens stay good when the server is started again."""
    if path.exists():
        return ECKey.import_key(json.loads(path.read_text()))
    key = new_key()
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        json.dump(key.as_dict(private=True), file)
    return key
