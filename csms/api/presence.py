"""What cabinets take as proof that somebody stands before them; and the proofs themselves."""

from __future__ import annotations

import base64
from decimal import Decimal
from typing import Annotated, Literal, Self
from urllib.parse import quote

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from csms.api.call import Call, Route
from csms.api.problems import Problem
from csms.api.shapes import Answer, Body, Moment
from csms.base.errors import NotFound
from csms.db import SQL, Connection
from csms.domain import presence as domain
from csms.flows import presence
from csms.flows.presence import NotPresent

METRES_MAX = 10_000
STAFF = "staff"
"""The proof of staff who act for a driver: their scope."""

_Method = Literal["totp", "ble", "geofence"]


def _number(value: object) -> object:
    """JSON numbers are read as decimals; a place on earth needs no more than a float."""
    return float(value) if isinstance(value, Decimal | int) and not isinstance(value, bool) else value


Latitude = Annotated[float, BeforeValidator(_number), Field(ge=-90, le=90)]
Longitude = Annotated[float, BeforeValidator(_number), Field(ge=-180, le=180)]
Metres = Annotated[int, Field(ge=1, le=METRES_MAX)]


class CodeProof(Body):
    """The code on the cabinet's screen (RFC 6238 with HMAC-SHA256, 8 digits, 30 s)."""

    code: Annotated[str, StringConstraints(pattern=r"^[0-9]{8}$")]


class NonceProof(Body):
    """What the cabinet sends by radio: `signature` is HMAC-SHA256 over `station|nonce|time`, `time` in Unix seconds."""

    nonce: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{8,64}$")]
    time: Annotated[int, Field(ge=0, le=2**40)]
    signature: Annotated[str, StringConstraints(pattern=r"^[0-9A-Fa-f]{64}$")]


class PlaceProof(Body):
    """Where a telephone is, and within how many metres it is sure of it."""

    latitude: Latitude
    longitude: Longitude
    accuracy_m: Annotated[float, BeforeValidator(_number), Field(ge=0, le=10**9)]
    at: Moment


class Proof(Body):
    """One proof of presence; it counts for one cabinet and one request, once, for 120 s."""

    totp: CodeProof | None = None
    ble: NonceProof | None = None
    geofence: PlaceProof | None = None

    @model_validator(mode="after")
    def _is_one(self) -> Self:
        if len([part for part in (self.totp, self.ble, self.geofence) if part is not None]) != 1:
            raise ValueError("give one of totp, ble and geofence")
        return self

    def read(self) -> domain.Proof:
        """The same in the words of the rules."""
        if self.totp is not None:
            return domain.Code(self.totp.code)
        if self.ble is not None:
            return domain.Nonce(self.ble.nonce, self.ble.time, self.ble.signature)
        assert self.geofence is not None
        place = self.geofence
        return domain.Fix(place.latitude, place.longitude, place.accuracy_m, place.at)


class NewPresence(Body):
    """
    What a cabinet takes as proof, and where it stands: with a place it is on the map that drivers see.

    `totp` and `ble` need a secret that the cabinet knows; `generate_secret` makes one, which replaces the
    one there is.
    """

    methods: list[_Method] = Field(max_length=3)
    latitude: Latitude | None = None
    longitude: Longitude | None = None
    radius_m: Metres = presence.RADIUS_M
    accuracy_m_max: Metres = presence.ACCURACY_M_MAX
    generate_secret: bool = False


class Presence(Answer):
    """What a cabinet takes as proof. `secret` (base32) and `uri` are there only where this very request made them."""

    station: str
    methods: list[str]
    latitude: float | None
    longitude: float | None
    radius_m: int | None
    accuracy_m_max: int | None
    has_secret: bool
    changed_at: Moment | None
    secret: str | None = None
    uri: str | None = None


async def put_presence(call: Call) -> Presence:
    """Set what a cabinet takes as proof of presence; the answer tells its secret where one was made."""
    new: NewPresence = call.body
    spec = presence.SettingSpec(
        frozenset(new.methods), new.latitude, new.longitude, new.radius_m, new.accuracy_m_max, new.generate_secret
    )
    secret = await presence.put_setting(call.conn, call.path["station"], spec, call.parts.clock())
    return await _presence(call.conn, call.path["station"], secret)


async def show_presence(call: Call) -> Presence:
    """What a cabinet takes as proof of presence; nothing where nothing was set."""
    return await _presence(call.conn, call.path["station"])


async def _presence(conn: Connection, station_id: str, secret: bytes | None = None) -> Presence:
    row = await SQL.show_presence.one(conn, station_id, None)
    if row is None:
        raise NotFound(f"there is no station {station_id}")
    names = ("latitude", "longitude", "radius_m", "accuracy_m_max", "changed_at")
    text = None if secret is None else base64.b32encode(secret).decode().rstrip("=")
    uri = f"otpauth://totp/{quote(station_id, safe='')}?secret={text}&algorithm=SHA256&digits=8&period=30"
    return Presence(
        station=row["id"], methods=row["methods"] or [], has_secret=row["secret"] is not None, secret=text,
        uri=None if text is None else uri, **{name: row[name] for name in names},
    )  # fmt: skip


async def prove(call: Call, conn: Connection, use: presence.Use, proof: Proof | None) -> str:
    """
    How presence is proven; the proof is used up by the transaction of `conn`.

    Staff may act for a driver without. Problem 403 when it is not proven, 429 after many that were none.
    """
    client, guesses = call.client, call.parts.guesses
    if proof is None and client.driver is None:
        return STAFF
    if proof is None:
        raise Problem(
            403, f"prove that you stand before {use.cabinet.id}: send `proof`", members={"error": "not_present"}
        )
    name = (client.id, use.cabinet.id)
    if (wait_s := guesses.wait_s(name)) > 0:
        raise Problem(429, "too many proofs that were none; wait", headers={"Retry-After": str(int(wait_s) + 1)})
    try:
        return await presence.use_proof(conn, use, proof.read(), call.parts.clock())
    except NotPresent as error:
        guesses.note(name)
        raise Problem(403, str(error), members={"error": "not_present"}) from None


ROUTES: tuple[Route, ...] = (
    Route(
        "PUT", "/stations/{station}/presence", put_presence, ("stations:write",),
        "Set what a cabinet takes as proof of presence; a new secret is told once", Presence, NewPresence,
    ),
    Route(
        "GET", "/stations/{station}/presence", show_presence, ("stations:read",),
        "Show what a cabinet takes as proof of presence", Presence,
    ),
)  # fmt: skip
