"""What clients send, one model per request."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import ConfigDict, Field, StringConstraints

from csms.api.shapes import Body, ChosenId, Json, Minor, Moment, MoneyBody, Name, StationId
from csms.domain import site_tags
from csms.flows.admin import CONNECTOR_MAX, POWER_W_MAX, ConnectorKind, ConnectorSpec, StationKind
from csms.flows.drivers import TokenStatus, TokenType

CONNECTORS_MAX = 500
PERIODS_MAX = 10_000
QUANTITY_MAX = 10**9
Password = Annotated[str, StringConstraints(min_length=1, max_length=255)]
Protocol = Literal["ocpp1.6", "ocpp2.0.1", "ocpp2.1"]
PowerCap = Annotated[int, Field(gt=0, le=10**9, description="W")]
Tag = Annotated[str, StringConstraints(pattern=f"^{site_tags.TAG}$")]
Tags = Annotated[list[Tag], Field(max_length=site_tags.TAGS_MAX)]
Share = Annotated[int, Field(ge=0, le=10_000, description="basis points of the fee")]


class Connector(Body):
    """A connector of a station; `max_power_w` bounds what it can plausibly deliver."""

    number: Annotated[int, Field(ge=1, le=CONNECTOR_MAX)]
    kind: ConnectorKind = "outlet"
    max_power_w: Annotated[int, Field(gt=0, le=POWER_W_MAX)] | None = None

    def spec(self) -> ConnectorSpec:
        """The same in the words of the flows."""
        return ConnectorSpec(self.number, self.kind, self.max_power_w)


class NewStation(Body):
    """A station. Without `password` a key is generated and told once in the answer."""

    id: StationId
    kind: StationKind = "charger"
    provider: ChosenId
    site: ChosenId | None = None
    tariff: ChosenId | None = None
    security_profile: Annotated[int, Field(ge=0, le=3)] = 1
    password: Password | None = None
    strict: bool = False
    assume_protocol: Protocol | None = None
    connectors: list[Connector] = Field(default_factory=list, max_length=CONNECTORS_MAX)


class StationPatch(Body):
    """What is given is changed; `password: null` generates a new key. Connectors are never removed."""

    site: ChosenId | None = None
    security_profile: Annotated[int, Field(ge=0, le=3)] = 1
    password: Password | None = None
    strict: bool = False
    assume_protocol: Protocol | None = None
    connectors: list[Connector] = Field(default_factory=list, max_length=CONNECTORS_MAX)


class StationTariff(Body):
    """The tariff of a station's coming sessions; null for none."""

    tariff: ChosenId | None


class Terms(Body):
    """The operator's share of each fee: basis points of it and a fixed part, within a minimum and a maximum."""

    operator_bp: Share = 0
    operator_fixed_minor: Minor = 0
    operator_min_minor: Minor = 0
    operator_max_minor: Minor | None = None


class NewProvider(Body):
    """A provider; without `terms` it gets the whole of every fee. `psp_accounts`: psp name to its account there."""

    id: ChosenId
    name: Name
    terms: Terms = Field(default_factory=Terms)
    psp_accounts: dict[ChosenId, Name] = Field(default_factory=dict)


class ProviderPatch(Body):
    """What is given is changed. New terms are a new version, for sessions that begin from now on."""

    name: Name | None = None
    terms: Terms | None = None
    psp_accounts: dict[ChosenId, Name] | None = None


class NewSite(Body):
    """
    A site; `time_zone` is an IANA name.

    Its host is who is reimbursed for the electricity that portable chargers take from its outlets, by a share of
    their fees. `power_cap_w` is what its battery stations may draw together; null: no limit. `region`: your word for
    where drivers are compared with each other; `tags`: your words for what vouchers' conditions may name.
    """

    id: ChosenId
    provider: ChosenId
    name: Name
    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=60)]
    host_bp: Share = 0
    host_name: Name | None = None
    power_cap_w: PowerCap | None = None
    region: ChosenId | None = None
    tags: Tags = Field(default_factory=list)


class SitePatch(Body):
    """
    What is given is changed, a share and tags for sessions that start from now on.

    A `power_cap_w` of null: no limit. `tags` take the place of all there were.
    """

    host_bp: Share = 0
    host_name: Name | None = None
    power_cap_w: PowerCap | None = None
    region: ChosenId | None = None
    tags: Tags = Field(default_factory=list)


class NewTariff(Body):
    """
    An OCPI Tariff object (2.3.0; 2.2.1 names are read too), and two fields of ours beside it.

    `hold` is what is set aside when a use starts: without it OCPI's `preauthorize_amount`, else
    50,000 KRW, 5,000 JPY, 1,000 TWD, 500,000 IDR, 1,000,000 VND, or 50 units of any other currency.
    `provider` is whose stations alone may use it.
    """

    model_config = ConfigDict(extra="allow", strict=True)

    id: ChosenId
    currency: Annotated[str, StringConstraints(min_length=3, max_length=3)]
    elements: Json
    hold: MoneyBody | None = None
    provider: ChosenId | None = None

    def document(self) -> dict[str, object]:
        """The OCPI object alone."""
        return self.model_dump(exclude={"hold", "provider"}, exclude_unset=True)


class NewDriver(Body):
    """A driver; without `id` one is made. `vehicle_class`: what kind of vehicle, in your words."""

    id: ChosenId | None = None
    name: Name | None = None
    vehicle_class: ChosenId | None = None


class DriverPatch(Body):
    """What is given is changed. A blocked driver starts no session. `rest`: what becomes of money not spent."""

    name: Name | None = None
    status: Literal["active", "blocked"] | None = None
    rest: Literal["keep", "refund"] | None = None
    vehicle_class: ChosenId | None = None


class NewToken(Body):
    """A token of a driver. The same value again changes its type and status."""

    value: Annotated[str, StringConstraints(min_length=1, max_length=255)]
    type: TokenType = "rfid"
    status: TokenStatus = "accepted"


class NewTopUp(Body):
    """A payment that arrived at `psp` under `payment_ref`, for a driver's balance."""

    amount: MoneyBody
    payment_ref: ChosenId
    psp: ChosenId


class NewSession(Body):
    """A start from afar: `token` is a driver's token or its alias."""

    station: StationId
    connector: Annotated[int, Field(ge=1, le=CONNECTOR_MAX)]
    token: Annotated[str, StringConstraints(min_length=1, max_length=255)]


class CdrDimension(Body):
    """One OCPI CdrDimension."""

    model_config = ConfigDict(extra="forbid")

    type: Annotated[str, StringConstraints(max_length=40)]
    volume: Json


class ChargingPeriod(Body):
    """One OCPI ChargingPeriod."""

    start_date_time: Moment
    dimensions: list[CdrDimension] = Field(max_length=40)
    tariff_id: ChosenId | None = None


class PricedReservation(Body):
    """A reservation before a session; one that expired or was cancelled had none."""

    start_date_time: Moment
    end_date_time: Moment
    outcome: Literal["USED", "CANCELLED", "EXPIRED"] = "USED"


class OwnUsage(Body):
    """What a rental or an exchange used beside charging: the quantities that a tariff's `extra` prices."""

    held_s: Annotated[int, Field(ge=0, le=QUANTITY_MAX)] = 0
    deliveries: Annotated[int, Field(ge=0, le=QUANTITY_MAX)] = 0
    battery_wh: Annotated[int, Field(ge=0, le=QUANTITY_MAX)] = 0
    late_s: Annotated[int, Field(ge=0, le=QUANTITY_MAX)] = 0


class PricedSession(Body):
    """A session to price, as OCPI describes it; `time_zone` is that of its site."""

    time_zone: Annotated[str, StringConstraints(min_length=1, max_length=60)] = "UTC"
    start_date_time: Moment
    end_date_time: Moment
    charging_periods: list[ChargingPeriod] = Field(max_length=PERIODS_MAX)
    reservation: PricedReservation | None = None
    extra: OwnUsage | None = None


class PriceQuestion(Body):
    """An OCPI tariff and a session to price by it."""

    tariff: dict[str, Json]
    session: PricedSession
