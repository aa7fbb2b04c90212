"""How a driver uses stations: shown, forgotten, or not kept at all."""

from __future__ import annotations

from csms.api.call import Call, Route, connection, system
from csms.api.payers import known
from csms.api.shapes import Answer, Body, Moment
from csms.base.errors import NotFound
from csms.base.units import BASIS_POINTS
from csms.db import SQL, Record
from csms.domain.tendency import BAND_HOURS, BANDS
from csms.flows import tendency

BAND_NAMES = tuple(f"{BAND_HOURS * band:02}-{BAND_HOURS * (band + 1):02}" for band in range(BANDS))
DAY_NAMES = ("weekday", "weekend")
POWER_NAMES = ("below 7.4 kW", "7.4 to 22 kW", "above 22 kW")


class Quartiles(Answer):
    """What a quarter, a half and three quarters of the sessions are not above."""

    q25: int
    q50: int
    q75: int


class Times(Answer):
    """Wh by kind of day (rows) and hours of the site's clock (columns), and the same in basis points of all."""

    days: list[str]
    hours: list[str]
    energy_wh: list[list[int]]
    share_bp: list[list[int]]


class Part(Answer):
    """A part of the energy: of a station, or of a class of power."""

    name: str
    energy_wh: int
    share_bp: int


class Tendency(Answer):
    """
    How a driver used stations in the last 56 days, as it was computed last (docs: reference/tendency.md).

    Energies in Wh, durations in seconds, shares in basis points. `version` grows with every change. `weeks` are counted
    back from the newest. `stations` are the most used ones of `station_count`, `station_entropy_bits` tells how
    scattered use is (0: one station). `cheap_share_bp` is of what had more than one price that day, null if nothing
    had. `swap_share_bp` is of all uses: `swaps` and `sessions`. `confidence` is low, medium or high.
    """

    driver: str
    version: int
    computed_at: Moment
    confidence: str
    sessions: int
    weeks: int
    energy_wh: int
    week_mean_wh: int
    week_median_wh: int
    times: Times
    session_energy_wh: Quartiles
    session_duration_s: Quartiles
    stations: list[Part]
    station_count: int
    station_entropy_bits: str
    powers: list[Part]
    cheap_share_bp: int | None
    swaps: int
    swap_share_bp: int
    region: str


class TendencyChoice(Answer):
    """Whether a driver wants nothing kept of how stations are used."""

    driver: str
    opt_out: bool


class OptOut(Body):
    """True: nothing is kept any more, and what was kept is deleted. False: it begins anew."""

    opt_out: bool


async def show_tendency(call: Call) -> Tendency:
    """How a driver uses stations: 404 while nothing is known of it, or nothing may be kept."""
    driver_id = await known(call.conn, call.path["driver"])
    row = await SQL.show_tendency.one(call.conn, driver_id)
    if row is not None:
        return _tendency(row)
    if await SQL.keeps_tendency.value(call.conn, driver_id):
        raise NotFound(f"nothing is known yet of how {driver_id} uses stations: it begins with the next session")
    raise NotFound(f"{driver_id} has opted out: nothing is kept of how stations are used")


async def forget_tendency(call: Call) -> None:
    """Forget how a driver used stations, all of it; it begins anew with the session that starts next."""
    async with connection(call.parts) as conn:
        driver_id = await known(conn, call.path["driver"])
    async with system(call.parts) as conn:
        await tendency.forget(conn, driver_id, call.parts.clock())


async def put_opt_out(call: Call) -> TendencyChoice:
    """Keep nothing of how a driver uses stations and delete what was kept; or begin again."""
    new: OptOut = call.body
    async with connection(call.parts) as conn:
        driver_id = await known(conn, call.path["driver"])
    async with system(call.parts) as conn:
        await tendency.opt_out(conn, driver_id, new.opt_out, call.parts.clock())
    return TendencyChoice(driver=driver_id, opt_out=new.opt_out)


def _tendency(row: Record) -> Tendency:
    bands, uses = row["bands_wh"], row["sessions"] + row["swaps"]
    return Tendency(
        driver=row["driver_id"],
        energy_wh=row["wh"],
        week_mean_wh=row["week_wh_mean"],
        week_median_wh=row["week_wh_median"],
        times=Times(
            days=list(DAY_NAMES),
            hours=list(BAND_NAMES),
            energy_wh=[bands[:BANDS], bands[BANDS:]],
            share_bp=[[_share_bp(wh, row["wh"]) for wh in part] for part in (bands[:BANDS], bands[BANDS:])],
        ),
        session_energy_wh=_quartiles(row["session_wh"]),
        session_duration_s=_quartiles(row["session_s"]),
        stations=_parts(row["stations"], row["stations_wh"], row["wh"]),
        station_entropy_bits=str(row["entropy"]),
        powers=_parts(POWER_NAMES, row["power_wh"], sum(row["power_wh"])),
        cheap_share_bp=_share_bp(row["cheap_wh"], row["priced_wh"]) if row["priced_wh"] else None,
        swap_share_bp=_share_bp(row["swaps"], uses),
        **{
            name: row[name]
            for name in (
                "version",
                "computed_at",
                "confidence",
                "sessions",
                "weeks",
                "station_count",
                "swaps",
                "region",
            )
        },
    )


def _quartiles(values: list[int]) -> Quartiles:
    low, middle, high = values
    return Quartiles(q25=low, q50=middle, q75=high)


def _parts(names: list[str] | tuple[str, ...], values: list[int], total: int) -> list[Part]:
    return [
        Part(name=name, energy_wh=wh, share_bp=_share_bp(wh, total)) for name, wh in zip(names, values, strict=True)
    ]


def _share_bp(part: int, total: int) -> int:
    """Basis points, rounded down; 0 of nothing."""
    return part * BASIS_POINTS // total if total else 0


SEE = ("drivers:read", "driver:self")
CHANGE = ("drivers:write", "driver:self")

ROUTES: tuple[Route, ...] = (
    Route("GET", "/drivers/{driver}/tendency", show_tendency, SEE, "Show how a driver uses stations", Tendency),
    Route(
        "DELETE", "/drivers/{driver}/tendency", forget_tendency, CHANGE, "Forget how a driver used stations",
        status=204, connects=False,
    ),
    Route(
        "PUT", "/drivers/{driver}/tendency/opt-out", put_opt_out, CHANGE,
        "Keep nothing of how a driver uses stations, or begin again", TendencyChoice, OptOut, connects=False,
    ),
)  # fmt: skip
