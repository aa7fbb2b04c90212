"""The story of the demo: cars charge, chargers are lent, packs swapped, vouchers sold, and everything agrees."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import aiohttp

from charge_points_sim.agreement import OPERATOR_ACCOUNT, Finding, findings, flat, money, per_provider
from charge_points_sim.closing import close_books
from charge_points_sim.guide import BIN, say_addresses, say_pages
from charge_points_sim.lending_act import Stage, lend_out
from charge_points_sim.prices import CURRENCY
from charge_points_sim.process import Process, ProcessFailed, output
from charge_points_sim.progress import show
from charge_points_sim.provision import provider_of, provision
from charge_points_sim.rest import Rest
from charge_points_sim.run import WHOLE_FILE
from charge_points_sim.scenarios.replay import Plan, Tally, replay
from charge_points_sim.social.client import SocialClient
from charge_points_sim.swap_act import spend_the_morning
from charge_points_sim.terminal import Terminal
from charge_points_sim.times import wire
from charge_points_sim.voucher_act import be_offered
from charge_points_sim.wallet import Wallet

SETTLE_S_MAX = 60
CLOCK_EVERY_S = 0.05
UNEXPECTED_SHOWN_MAX = 20


class Story:
    """One run: the processes, where they listen, and what is said about it."""

    def __init__(self, terminal: Terminal, folder: Path, plan: Plan, stack: contextlib.AsyncExitStack) -> None:
        self.terminal = terminal
        self.folder = folder
        self.plan = plan
        self.stack = stack
        self.password = secrets.token_hex(20)
        self.began_s = time.monotonic()

    async def tell(self) -> bool:
        """The whole story; True if everything agrees."""
        await self._set_up()
        await self._charge()
        agrees = await self._compare()
        closed = await self._close()
        lent = await self._lend()
        swapped = await self._swap()
        return await self._offer() and swapped and lent and closed and agrees

    async def _process(self, command: Sequence[str], log: str, environment: dict[str, str] | None = None) -> Process:
        process = await Process.start(command, self.folder / log, environment)
        self.stack.push_async_callback(process.stop)
        return process

    async def _set_up(self) -> None:
        self.terminal.heading("The world is set up")
        secret = secrets.token_hex(16)
        sellers = sorted({provider_of(charge.site) for charge in self.plan.charges} | {OPERATOR_ACCOUNT})
        social = [str(BIN / "charge-points-sim"), "social", "--port", "0", "--secret", secret, "--denied", "stranger-"]
        social += [word for seller in sellers for word in ("--seller", seller)]
        self.http = await self.stack.enter_async_context(aiohttp.ClientSession())
        self.social = SocialClient(self.http, str((await self._process(social, "social.log")).ready["http"]), secret)
        self.terminal.step("a social-payment server", self.social.url)

        start = min(charge.arrival for charge in self.plan.charges) - 3600
        serve = [
            str(BIN / "csms"),
            "serve",
            "--data-dir",
            str(self.folder / "data"),
            "--ocpp-port",
            "0",
            "--http-port",
            "0",
        ]
        serve += ["--clock", f"{wire(start)}@max"]
        system = await self._process(
            serve,
            "csms.log",
            {
                "CSMS_SOCIAL_URL": self.social.url,
                "CSMS_SOCIAL_SECRET": secret,
                "CSMS_SOCIAL_OPERATOR_ACCOUNT": OPERATOR_ACCOUNT,
            },
        )
        self.ocpp, self.url = f"{system.ready['ocpp']}", str(system.ready["http"])
        self.terminal.step("the system, with a database of its own", f"{self.ocpp}  {self.url}")

        self.rest = await self._client("admin")
        await provision(self.rest, self.plan, self.password)
        drivers = self.plan.population.paying
        stations = len({charge.station_id for charge in self.plan.charges})
        self.terminal.step(f"{stations} stations at {len(sellers) - 1} sites, each with its provider and tariff")
        self.terminal.step(
            f"{len(drivers)} drivers: {sum(d.means == 'social' for d in drivers)} pay with social tokens, "
            f"{sum(d.means == 'balance' for d in drivers)} from a prepaid balance; "
            f"{len(self.plan.population.refused)} more have no means"
        )

    async def _client(self, *scopes: str) -> Rest:
        """A new client of the system, with these scopes."""
        add = [str(BIN / "csms"), "staff", "add-client", "--data-dir", str(self.folder / "data"), "--json"]
        status, said, complaint = await output([*add, *(word for scope in scopes for word in ("--scope", scope))])
        if status != 0:
            raise ProcessFailed(f"csms staff add-client: {complaint or said}")
        client = json.loads(said)
        return Rest(self.http, self.url, client["client_id"], client["client_secret"])

    async def _keep_time(self, tally: Tally) -> None:
        """The social-payment server lives in the simulation's time, so that its statements have the same days."""
        while True:
            await self.social.set_clock(tally.now)
            await asyncio.sleep(CLOCK_EVERY_S)

    async def _charge(self) -> None:
        first, last = self.plan.charges[0].arrival, max(charge.departure for charge in self.plan.charges)
        speed = self.plan.speed
        pace = "as fast as it can" if speed is None else f"{speed / 60:.0f} minutes pass in a second"
        self.terminal.heading(f"{wire(first)[:16]}Z to {wire(last)[:16]}Z, Caltech and JPL: {pace}")
        tally = Tally(began_s=self.began_s)
        tally.now = first
        beside = [asyncio.create_task(act) for act in (show(tally, self.terminal.out), self._keep_time(tally))]
        try:
            facts = await replay(self.plan, self.ocpp, self.password, Wallet(self.http, self.social.url).token, tally)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.gather(*beside, return_exceptions=True)
        await self.social.set_clock(last)
        self.facts = facts
        versions = ", ".join(f"{count} on {version}" for version, count in sorted(facts["per_version"].items()))
        self.terminal.step(f"{facts['sessions']} charges: {versions}; {facts['turned_away']} people turned away")
        self.terminal.step(f"the first was charged {tally.first_charge_s or 0:.1f} s after this story began")
        self.terminal.step(
            f"{facts['frames_sent']} calls to the system in {facts['seconds']:.0f} s, "
            f"{facts['errors']} answered by an error"
        )
        for text in facts["unexpected"][:UNEXPECTED_SHOWN_MAX]:
            self.terminal.verdict(False, text)

    async def _bills(self) -> list[dict[str, Any]]:
        """All bills, as the system has them."""
        return [flat(bill) for bill in await self.rest.all("/bills")]

    async def _settled(self) -> dict[str, Any]:
        """The journal's totals once every fee is paid and shared, or after `SETTLE_S_MAX`."""
        deadline_s = time.monotonic() + SETTLE_S_MAX
        while True:
            totals = await self.social.totals()
            bills = await self._bills()
            due = sum(bill["total_minor"] for bill in bills if bill["means"] == "psp")
            if (totals["settled"] == due and totals["held"] == 0) or time.monotonic() > deadline_s:
                return totals
            await asyncio.sleep(0.2)

    async def _compare(self) -> bool:
        totals = await self._settled()
        bills = await self._bills()
        self.terminal.heading(f"Settlement, in {CURRENCY}")
        rows = per_provider(self.plan.charges, bills, totals)
        sums = [sum(int(row[place]) for row in rows) for place in range(1, 7)]
        self.terminal.table(
            ["provider", "sessions", "kWh", "fees", "operator's share", "provider's share", "remitted"],
            [_cells(row) for row in rows],
            _cells(["together", *sums]),
        )
        by_card = sum(bill["total_minor"] for bill in bills if bill["means"] == "balance")
        self.terminal.step(
            f"{money(totals['settled'])} were paid by social tokens, and are remitted; {money(by_card)} from prepaid "
            "balances: that share waits for the provider's statement"
        )
        self.terminal.heading("Does it agree?")
        checked = findings(self.plan.charges, bills, totals)
        agree = self._tell(checked)
        agree = await self._books_agree() and agree
        clean = not (self.facts["unexpected"] or self.facts["given_up"] or self.facts["errors"])
        self.terminal.verdict(clean, "no station was answered by an error, nobody was refused who could pay")
        return agree and clean

    def _tell(self, findings: Sequence[Finding]) -> bool:
        for finding in findings:
            self.terminal.verdict(finding.holds, finding.text)
        return all(finding.holds for finding in findings)

    async def _books_agree(self) -> bool:
        """The trial balance, and all that `csms check` looks at."""
        balance = await self.rest.get("/ledger/trial-balance")
        zero = bool(balance["totals"]) and all(total["minor"] == 0 for total in balance["totals"])
        self.terminal.verdict(zero, "the ledger's trial balance is 0")
        status, said, complaint = await output([str(BIN / "csms"), "check", "--data-dir", str(self.folder / "data")])
        self.terminal.verdict(status == 0, "csms check finds nothing wrong")
        if status != 0:
            self.terminal.say(said + complaint)
        return zero and status == 0

    async def _close(self) -> bool:
        """Billing staff close the books: one gives back and drafts, another approves, and the psp pays."""
        self.terminal.heading("Billing staff close the books")
        approver = await self._client("remittance:approve", "settlement:read")
        closed = await close_books(self.terminal, self.rest, approver, self.plan.charges)
        return await self._books_agree() and closed

    async def _lend(self) -> bool:
        """The second act: a street of cabinets, on the same system, at the end of its day."""
        self.terminal.heading("Second act: a street lends portable chargers")
        stage = Stage(self.terminal, self.rest, self.ocpp, self.password, self.social)
        told = self._tell(await lend_out(stage, max(charge.departure for charge in self.plan.charges)))
        return await self._books_agree() and told

    async def _swap(self) -> bool:
        """The third act: a morning at battery stations, on the same system."""
        self.terminal.heading("Third act: a morning at battery stations")
        stage = Stage(self.terminal, self.rest, self.ocpp, self.password, self.social)
        told = self._tell(await spend_the_morning(stage, max(charge.departure for charge in self.plan.charges)))
        return await self._books_agree() and told

    async def _offer(self) -> bool:
        """The fourth act: somebody who charges at work is offered vouchers, on the same system."""
        self.terminal.heading("Fourth act: a driver with real history is offered vouchers")
        stage = Stage(self.terminal, self.rest, self.ocpp, self.password, self.social)
        told = self._tell(await be_offered(stage, WHOLE_FILE, max(charge.departure for charge in self.plan.charges)))
        return await self._books_agree() and told

    def say_where_to_look(self, keep: bool) -> None:
        """Addresses while it stays up; otherwise how to make it stay."""
        self.terminal.heading("Where to look next")
        if keep:
            say_addresses(self.terminal, self.rest, self.ocpp, self.password, self.social, self.folder / "data")
        else:
            self.terminal.step("make demo KEEP=1", "leaves everything running, and prints its addresses")
        say_pages(self.terminal)


def _cells(row: Sequence[int | str]) -> list[str]:
    name, sessions, wh, *amounts = row
    return [str(name), str(sessions), f"{int(wh) / 1000:,.3f}", *(money(int(amount)) for amount in amounts)]
