"""Every address of the REST interface under `/api/v1`: method, path, handler, scopes, body, answer."""

from __future__ import annotations

from csms.api import (
    answers,
    audit,
    balance,
    bodies,
    breakage,
    cabinets,
    charging_requests,
    clients,
    corrections,
    documents,
    drivers,
    exceptions,
    hooks,
    items,
    ledger,
    me,
    means,
    meter_keys,
    outlets,
    packs,
    presence,
    psp_hooks,
    remittances,
    rentals,
    reports,
    reservations,
    sessions,
    settlements,
    signed_values,
    slots,
    stations,
    swaps,
    tariffs,
    tendency,
    vehicles,
    voucher_batches,
    voucher_documents,
    voucher_offers,
    voucher_preview,
    voucher_products,
    voucher_purchases,
    voucher_windows,
    vouchers,
)
from csms.api.call import Route
from csms.api.session_answers import Bill, Session
from csms.api.shapes import Page, Paging

PREFIX = "/api/v1"

SEE = ("stations:read",)
SET_UP = ("stations:write",)
COMMAND = ("stations:command",)
STOP = (*COMMAND, "driver:self")
SEE_DRIVERS = ("drivers:read",)
SEE_DRIVER = (*SEE_DRIVERS, "driver:self")
WRITE_DRIVERS = ("drivers:write",)
PRICE = ("tariff:write",)
SEE_PRICES = ("stations:read", "tariff:write", "reports:read")
SEE_USE = ("stations:read", "reports:read")
SEE_OWN_USE = (*SEE_USE, "driver:self")
REPORT = ("reports:read", "settlement:read")
SEE_BILLS = (*REPORT, "driver:self")
ADMIN = ("admin",)

_CORE: tuple[Route, ...] = (
    Route(
        "POST", "/providers", stations.add_provider, ADMIN, "Add a provider", answers.Provider,
        bodies.NewProvider, status=201,
    ),
    Route("GET", "/providers", stations.list_providers, SEE, "List providers", Page[answers.Provider], query=Paging),
    Route("GET", "/providers/{provider}", stations.show_provider, SEE, "Show a provider", answers.Provider),
    Route(
        "PATCH", "/providers/{provider}", stations.change_provider, ADMIN, "Change a provider, its accounts or terms",
        answers.Provider, bodies.ProviderPatch,
    ),
    Route("POST", "/sites", stations.add_site, SET_UP, "Add a site", answers.Site, bodies.NewSite, status=201),
    Route("GET", "/sites", stations.list_sites, SEE, "List sites", Page[answers.Site], query=Paging),
    Route("GET", "/sites/{site}", stations.show_site, SEE, "Show a site", answers.Site),
    Route(
        "PATCH", "/sites/{site}", stations.change_site, SET_UP, "Change a site's host, limit of power, region or tags",
        answers.Site, bodies.SitePatch,
    ),
    Route(
        "POST", "/stations", stations.add_station, SET_UP, "Add a station", answers.Station,
        bodies.NewStation, status=201,
    ),
    Route(
        "GET", "/stations", stations.list_stations, SEE, "List stations", Page[answers.Station],
        query=stations.StationQuery,
    ),
    Route("GET", "/stations/{station}", stations.show_station, SEE, "Show a station", answers.Station),
    Route(
        "PATCH", "/stations/{station}", stations.change_station, SET_UP, "Change a station, or give it a new password",
        answers.Station, bodies.StationPatch,
    ),
    Route(
        "DELETE", "/stations/{station}", stations.remove_station, SET_UP, "Remove a station without history",
        status=204,
    ),
    Route(
        "PUT", "/stations/{station}/tariff", stations.put_tariff, PRICE, "Price a station's coming sessions",
        answers.Station, bodies.StationTariff,
    ),
    Route(
        "POST", "/tariffs", tariffs.add_tariff, PRICE, "Add a version of a tariff (an OCPI Tariff)", answers.Tariff,
        bodies.NewTariff, status=201, or_else=200,
    ),
    Route("GET", "/tariffs", tariffs.list_tariffs, SEE_PRICES, "List tariffs", Page[answers.Tariff], query=Paging),
    Route(
        "GET", "/tariffs/{tariff}", tariffs.show_tariff, SEE_PRICES, "Show a tariff", answers.Tariff,
        query=tariffs.VersionQuery,
    ),
    Route(
        "POST", "/tariffs/price", tariffs.price, SEE_PRICES, "Preview what a session would cost",
        answers.PricePreview, bodies.PriceQuestion, connects=False,
    ),
    Route(
        "POST", "/drivers", drivers.add_driver, WRITE_DRIVERS, "Add a driver", answers.Driver,
        bodies.NewDriver, status=201,
    ),
    Route("GET", "/drivers", drivers.list_drivers, SEE_DRIVERS, "List drivers", Page[answers.Driver], query=Paging),
    Route("GET", "/drivers/{driver}", drivers.show_driver, SEE_DRIVER, "Show a driver", answers.Driver),
    Route(
        "PATCH", "/drivers/{driver}", drivers.change_driver, WRITE_DRIVERS, "Rename, block or unblock a driver",
        answers.Driver, bodies.DriverPatch,
    ),
    Route(
        "POST", "/drivers/{driver}/tokens", drivers.put_token, WRITE_DRIVERS, "Give a driver a token", answers.Token,
        bodies.NewToken, status=201, or_else=200,
    ),
    Route(
        "GET", "/drivers/{driver}/tokens", drivers.list_tokens, SEE_DRIVER, "List a driver's tokens",
        Page[answers.Token], query=Paging,
    ),
    Route(
        "POST", "/sessions", sessions.start_session, COMMAND, "Ask a station to start a session", answers.Command,
        bodies.NewSession, sessions.WaitQuery, status=202, or_else=200, connects=False,
    ),
    Route(
        "GET", "/sessions", sessions.list_sessions, SEE_OWN_USE, "List sessions", Page[Session],
        query=sessions.SessionQuery,
    ),
    Route("GET", "/sessions/{session}", sessions.show_session, SEE_OWN_USE, "Show a session", Session),
    Route(
        "GET", "/sessions/{session}/bill", sessions.show_session_bill, SEE_OWN_USE, "Show the bill of a session", Bill,
    ),
    Route(
        "POST", "/sessions/{session}/stop", sessions.stop_session, STOP, "Ask a station to stop a session",
        answers.Command, query=sessions.WaitQuery, status=202, or_else=200, connects=False,
    ),
    Route(
        "GET", "/commands/{command}", sessions.show_command, STOP, "Show what became of a command",
        answers.Command,
    ),
    Route("GET", "/bills", sessions.list_bills, SEE_BILLS, "List bills", Page[Bill], query=sessions.BillQuery),
    Route("GET", "/bills/{bill}", sessions.show_bill, SEE_BILLS, "Show a bill", Bill),
)  # fmt: skip

ROUTES: tuple[Route, ...] = (
    *_CORE,
    *balance.ROUTES,
    *clients.ROUTES,
    *me.ROUTES,
    *audit.ROUTES,
    *corrections.ROUTES,
    *settlements.ROUTES,
    *remittances.ROUTES,
    *documents.ROUTES,
    *exceptions.ROUTES,
    *ledger.ROUTES,
    *reports.ROUTES,
    *hooks.ROUTES,
    *psp_hooks.ROUTES,
    *meter_keys.ROUTES,
    *outlets.ROUTES,
    *signed_values.ROUTES,
    *presence.ROUTES,
    *cabinets.ROUTES,
    *items.ROUTES,
    *means.ROUTES,
    *rentals.ROUTES,
    *charging_requests.ROUTES,
    *packs.ROUTES,
    *slots.ROUTES,
    *swaps.ROUTES,
    *reservations.ROUTES,
    *voucher_products.ROUTES,
    *voucher_preview.ROUTES,
    *vouchers.ROUTES,
    *voucher_documents.ROUTES,
    *tendency.ROUTES,
    *breakage.ROUTES,
    *voucher_windows.ROUTES,
    *vehicles.ROUTES,
    *voucher_offers.ROUTES,
    *voucher_purchases.ROUTES,
    *voucher_batches.ROUTES,
)
"""Everything: the routes of a subject stand beside its handlers."""
