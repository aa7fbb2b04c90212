"""The settings of a running system. Read by `serve` and `cli`, which hand each part the values it needs."""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from csms.base import webhook
from csms.base.errors import CsmsError

FILE = "csms.toml"
"""Read from the working folder unless `CSMS_CONFIG` names another."""

MASK = "********"
SPEED_MAX = 1_000_000

Algorithm = Literal["ES256", "ES384", "ES512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "EdDSA"]
"""How others may sign: never with a secret that both know."""

_CLOCK = re.compile(r"(?P<start>[^@]+)@(?P<speed>max|[0-9]+(?:\.[0-9]+)?)")


class SettingsError(CsmsError):
    """A setting that cannot be used; the text names it, where it may come from, and what is wrong."""


class ClockSetting(NamedTuple):
    """A simulated clock: from `start`, `speed` times as fast as the wall; a speed of None follows the newest report."""

    start: datetime
    speed: float | None


def default_data_dir() -> Path:
    """`/var/lib/csms` for root, otherwise `csms` in the user's data folder."""
    if os.geteuid() == 0:
        return Path("/var/lib/csms")
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "csms"


def parse_clock(text: str) -> ClockSetting | None:
    """
    Read `START@SPEED`, such as `2019-06-03T07:00:00Z@3600` or `...@max`; None for `wall`.

    START is RFC 3339 (UTC if it has no offset). ValueError says what is wrong.
    """
    if text == "wall":
        return None
    parts = _CLOCK.fullmatch(text)
    if parts is None:
        raise ValueError("write wall, or START@SPEED such as 2019-06-03T07:00:00Z@3600 or 2019-06-03T07:00:00Z@max")
    start = datetime.fromisoformat(parts["start"])
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    if parts["speed"] == "max":
        return ClockSetting(start, None)
    speed = float(parts["speed"])
    if not 0 < speed <= SPEED_MAX:
        raise ValueError(f"the speed is above 0 and at most {SPEED_MAX}")
    return ClockSetting(start, speed)


class IssuerSettings(BaseModel):
    """An issuer whose access tokens REST takes; csms.api.issuers.Issuer says what each value means."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str
    audience: str = Field(min_length=1)
    kind: Literal["staff", "driver"]
    algorithms: tuple[Algorithm, ...] = Field(("ES256", "RS256"), min_length=1)
    scope_claim: str = Field("scope", min_length=1)
    provider_claim: str | None = Field(None, min_length=1)
    client_id: str | None = None
    client_secret: SecretStr | None = None

    @field_validator("issuer")
    @classmethod
    def _keys_come_safely(cls, url: str) -> str:
        parts = urlsplit(url)
        here = parts.hostname in ("localhost", "127.0.0.1", "::1")
        if parts.scheme != "https" and not (parts.scheme == "http" and here):
            raise ValueError("write the issuer's https address: whoever answers there decides who gets in")
        return url


class Settings(BaseSettings):
    """Everything that can be set. Later wins: defaults, `csms.toml`, `CSMS_*` in the environment, flags."""

    model_config = SettingsConfigDict(env_prefix="CSMS_", frozen=True, extra="forbid", validate_default=False)

    host: str = Field("127.0.0.1", description="address to listen on")
    ocpp_port: int = Field(9000, ge=0, le=65535, description="port for stations; 0 takes a free one")
    http_port: int = Field(8080, ge=0, le=65535, description="port for REST; 0 takes a free one")
    data_dir: Path = Field(default_factory=default_data_dir, description="folder of the embedded database")
    database_url: SecretStr | None = Field(None, description="a PostgreSQL of yours instead of the embedded one")
    pool_size: int = Field(10, ge=2, le=1000, description="database connections of REST")
    clock: str = Field("wall", description="wall, or START@SPEED for simulated time")
    nats_url: str | None = Field(None, description="message bus between processes; not in this version")
    gateways: int = Field(1, ge=1, le=1, description="gateway processes; more than one comes with the bus")

    token_ttl_s: int = Field(900, ge=60, le=86_400, description="life of an access token of ours, in seconds")
    issuers: tuple[IssuerSettings, ...] = Field((), description="others whose access tokens are taken, see below")

    social_url: str | None = Field(None, description="address of the social-payment server; none: no such payments")
    social_secret: SecretStr | None = Field(None, description="our secret key there")
    social_issuer: str | None = Field(None, description="issuer in its tokens; none: its address")
    social_audience: str = Field("csms", min_length=1, description="audience its tokens must name")
    social_policy: Literal["hold_capture", "charge_after", "pay_before_refund_rest"] = Field(
        "hold_capture", description="when it is charged"
    )
    social_webhook_secrets: SecretStr | None = Field(
        None, description="whsec_... that signs its webhooks; two, with a space between, while one replaces the other"
    )
    social_operator_account: str = Field("operator", min_length=1, description="our account there, for our shares")

    debt_minor_max: int = Field(0, ge=0, description="a driver who owes more, in minor units, starts nothing")

    stripe_secret: SecretStr | None = Field(None, description="our secret key at Stripe; none: no such payments")
    stripe_policy: Literal["hold_capture", "charge_after", "pay_before_refund_rest"] = Field(
        "hold_capture", description="when it is charged"
    )
    stripe_webhook_secrets: SecretStr | None = Field(
        None, description="whsec_... of its webhook endpoint; two, with a space between, while one replaces the other"
    )
    stripe_issuer: str | None = Field(None, description="issuer of tokens whose subject is a Stripe customer")
    stripe_audience: str = Field("csms", min_length=1, description="audience those tokens must name")
    stripe_operator_account: str = Field("operator", min_length=1, description="our own account, in which shares stay")
    stripe_url: str = Field("https://api.stripe.com", description="address of its API; another one for tests")

    portone_secret: SecretStr | None = Field(None, description="our V2 API secret at PortOne; none: no such payments")
    portone_store: str | None = Field(None, description="our store there, store-...; none: the secret's own")
    portone_policy: Literal["charge_after", "pay_before_refund_rest"] = Field(
        "charge_after", description="when it is charged"
    )
    portone_webhook_secrets: SecretStr | None = Field(
        None, description="whsec_... that signs its webhooks; two, with a space between, while one replaces the other"
    )
    portone_issuer: str | None = Field(None, description="issuer of tokens whose subject is a customer id at PortOne")
    portone_audience: str = Field("csms", min_length=1, description="audience those tokens must name")
    portone_operator_account: str = Field("operator", min_length=1, description="our own account, for our shares")
    portone_url: str = Field("https://api.portone.io", description="address of its API; another one for tests")

    webhooks_to_private: bool = Field(
        False, description="webhooks may go to http addresses and into private networks; for tests and demos"
    )

    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="debug, info, warning or error")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="auto: text on a terminal, JSON elsewhere")

    @field_validator("clock")
    @classmethod
    def _clock_can_be_read(cls, text: str) -> str:
        parse_clock(text)
        return text

    @field_validator("nats_url")
    @classmethod
    def _one_process(cls, url: str | None) -> str | None:
        if url is not None:
            raise ValueError("this version runs in one process, without a bus outside; leave it unset")
        return url

    @field_validator("social_webhook_secrets", "portone_webhook_secrets")
    @classmethod
    def _webhook_secrets_can_be_read(cls, secrets: SecretStr | None) -> SecretStr | None:
        for secret in () if secrets is None else secrets.get_secret_value().split():
            webhook.key_of(secret)
        return secrets

    @model_validator(mode="after")
    def _secret_of_psp(self) -> Self:
        if self.social_url is not None and self.social_secret is None:
            raise ValueError("social_url is set, our secret there (CSMS_SOCIAL_SECRET) is not")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The order of the class's first sentence, the winner first."""
        return (init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=_from_file()))

    def masked(self) -> dict[str, Any]:
        """The settings as JSON values, secrets and passwords covered."""
        shown: dict[str, Any] = self.model_dump(mode="json")
        for name, value in self:
            if isinstance(value, SecretStr):
                shown[name] = _masked_url(value.get_secret_value()) if name == "database_url" else MASK
        return shown


def load(flags: Mapping[str, object] | None = None) -> Settings:
    """The settings in force; `flags` win, those that are None count as not given. Raises SettingsError."""
    given: dict[str, Any] = {name: value for name, value in (flags or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        raise SettingsError("\n".join(_line(problem["loc"], problem["msg"]) for problem in error.errors())) from None


def _line(location: tuple[int | str, ...], message: str) -> str:
    if not location:
        return message.removeprefix("Value error, ")
    name = str(location[0])
    if name not in Settings.model_fields:
        return f"{name}: there is no such setting"
    return f"{name} (from CSMS_{name.upper()}, {FILE} or a flag): {message.removeprefix('Value error, ')}"


def _from_file() -> dict[str, Any]:
    named = os.environ.get("CSMS_CONFIG")
    path = Path(named or FILE)
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        if named:
            raise SettingsError(f"CSMS_CONFIG names {path}, which does not exist") from None
        return {}
    except (OSError, ValueError) as error:
        raise SettingsError(f"{path} cannot be read: {error}") from error


def _masked_url(url: str) -> str:
    """A database's address without its password, wherever it stands."""
    parts = urlsplit(url)
    if not parts.netloc:
        return MASK
    netloc = re.sub(r"^([^:@]*):.*@", rf"\1:{MASK}@", parts.netloc)
    return urlunsplit(parts._replace(netloc=netloc, query=re.sub(r"(?<=password=)[^&]*", MASK, parts.query)))
