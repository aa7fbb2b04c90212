"""Stations, sites and providers."""

from __future__ import annotations

from functools import partial

from aiohttp import web
from pydantic import Field

from csms.api import answers
from csms.api.bodies import (
    NewProvider,
    NewSite,
    NewStation,
    ProviderPatch,
    SitePatch,
    StationPatch,
    StationTariff,
    Terms,
)
from csms.api.call import Call
from csms.api.paging import after_id, page
from csms.api.shapes import Page, Paging, Parameter
from csms.base.errors import NotFound
from csms.db import SQL, Connection
from csms.domain.commands import EndConnection
from csms.domain.settlement import Split
from csms.flows import admin, parties
from csms.flows.tariffs import assign_tariff


class StationQuery(Paging):
    """Which stations."""

    provider: Parameter | None = Field(None, description="of this provider")
    site: Parameter | None = Field(None, description="at this site")


async def add_station(call: Call) -> answers.Station:
    """Add a station; the answer tells its password where one was generated."""
    new: NewStation = call.body
    spec = admin.StationSpec(
        new.id, new.provider, new.kind, new.site, new.tariff, new.security_profile, new.password, new.strict,
        new.assume_protocol, [connector.spec() for connector in new.connectors],
    )  # fmt: skip
    password = await admin.add_station(call.conn, spec, call.parts.clock())
    return await _station(call.conn, new.id, password)


async def list_stations(call: Call) -> Page[answers.Station]:
    """Stations by id."""
    query: StationQuery = call.query
    after = after_id(query.cursor)
    rows = await SQL.list_stations.many(call.conn, after, query.limit + 1, query.provider, query.site)
    return page(rows, query.limit, answers.station, lambda row: str(row["id"]))


async def show_station(call: Call) -> answers.Station:
    """One station."""
    return await _station(call.conn, call.path["station"])


async def change_station(call: Call) -> answers.Station:
    """Change what is given."""
    patch: StationPatch = call.body
    change = admin.StationChange(
        frozenset(patch.model_fields_set), patch.site, patch.security_profile, patch.password,
        "password" in patch.model_fields_set and patch.password is None, patch.strict, patch.assume_protocol,
        [connector.spec() for connector in patch.connectors],
    )  # fmt: skip
    if "password" in patch.model_fields_set:
        await _end_connection(call, "this station has a new password")
    password = await admin.change_station(call.conn, call.path["station"], change)
    return await _station(call.conn, call.path["station"], password)


async def remove_station(call: Call) -> web.StreamResponse | None:
    """Remove a station without history."""
    await _end_connection(call, "this station was removed")
    await admin.remove_station(call.conn, call.path["station"])
    return None


async def _end_connection(call: Call, reason: str) -> None:
    """Once the change is committed, close the station's connection: it was let in as what it is no more."""
    station_id = call.path["station"]
    epoch = await SQL.epoch_of_station.value(call.conn, station_id)
    if epoch is not None:
        call.afterwards.append(partial(call.parts.commands.tell, station_id, epoch, EndConnection(reason)))


async def put_tariff(call: Call) -> answers.Station:
    """Price a station's coming sessions by a tariff."""
    body: StationTariff = call.body
    await assign_tariff(call.conn, call.path["station"], body.tariff)
    return await _station(call.conn, call.path["station"])


async def _station(conn: Connection, station_id: str, password: str | None = None) -> answers.Station:
    row = await SQL.show_station.one(conn, station_id)
    if row is None:
        raise NotFound(f"there is no station {station_id}")
    return answers.station(row, password)


async def add_site(call: Call) -> answers.Site:
    """Add a site."""
    new: NewSite = call.body
    await parties.add_site(call.conn, parties.SiteSpec(**new.model_dump()), call.parts.clock())
    return await _site(call.conn, new.id)


async def list_sites(call: Call) -> Page[answers.Site]:
    """Sites by id."""
    query: Paging = call.query
    rows = await SQL.list_sites.many(call.conn, after_id(query.cursor), query.limit + 1)
    return page(rows, query.limit, answers.site, lambda row: str(row["id"]))


async def show_site(call: Call) -> answers.Site:
    """One site."""
    return await _site(call.conn, call.path["site"])


async def change_site(call: Call) -> answers.Site:
    """Change what is given of a site: its host, what its battery stations may draw, its region and tags."""
    patch: SitePatch = call.body
    await parties.change_site(call.conn, call.path["site"], patch.model_dump(exclude_unset=True))
    return await _site(call.conn, call.path["site"])


async def _site(conn: Connection, site_id: str) -> answers.Site:
    row = await SQL.show_site.one(conn, site_id)
    if row is None:
        raise NotFound(f"there is no site {site_id}")
    return answers.site(row)


async def add_provider(call: Call) -> answers.Provider:
    """Add a provider with its terms and accounts."""
    new: NewProvider = call.body
    spec = parties.ProviderSpec(new.id, new.name, _split(new.terms), new.psp_accounts)
    await parties.add_provider(call.conn, spec, call.parts.clock())
    return await _provider(call.conn, new.id)


async def list_providers(call: Call) -> Page[answers.Provider]:
    """Providers by id."""
    query: Paging = call.query
    rows = await SQL.list_providers.many(call.conn, after_id(query.cursor), query.limit + 1)
    return page(rows, query.limit, answers.provider, lambda row: str(row["id"]))


async def show_provider(call: Call) -> answers.Provider:
    """One provider."""
    return await _provider(call.conn, call.path["provider"])


async def change_provider(call: Call) -> answers.Provider:
    """Change what is given; new terms are a new version."""
    patch: ProviderPatch = call.body
    split = None if patch.terms is None else _split(patch.terms)
    await parties.change_provider(
        call.conn, call.path["provider"], call.parts.clock(),
        name=patch.name, psp_accounts=patch.psp_accounts, split=split,
    )  # fmt: skip
    return await _provider(call.conn, call.path["provider"])


async def _provider(conn: Connection, provider_id: str) -> answers.Provider:
    row = await SQL.show_provider.one(conn, provider_id)
    if row is None:
        raise NotFound(f"there is no provider {provider_id}")
    return answers.provider(row)


def _split(terms: Terms) -> Split:
    return Split(terms.operator_bp, terms.operator_fixed_minor, terms.operator_min_minor, terms.operator_max_minor)
