"""
A model of our database in dicts, for simulations only: what `store/road.py` loads and `save()` does.

It verifies what the real one verifies (row versions, unique keys, guarded balances) and raises
`LostRace`, having written nothing. `lax` names verifications to leave out, to plant defects.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from uuid import UUID

from csms.base.errors import LostRace
from csms.domain.authorization import Authorization
from csms.domain.billing import Bill
from csms.domain.books import Books, issued
from csms.domain.errand import Concern, Errand, void
from csms.domain.events import Reading, Unreadable
from csms.domain.ledger import Posting, Transfer
from csms.domain.session import CLOSED, NOTHING, Priced, Progress, Session, Station, metered
from csms.domain.token import key as token_key
from csms.domain.world import Changes, Token, World
from csms.store.road import PricedKey, Wanted
from tests.make import NOON

OPEN = ("pending", "active", "incomplete")
LIVE = ("asking", "authorized")


class Store:
    """Rows by their keys. `guarded` and `transfers` are the ledger."""

    def __init__(self, stations: Iterable[Station], priced: dict[PricedKey, Priced], lax: frozenset[str]) -> None:
        self.stations = {station.id: station for station in stations}
        self.priced = priced
        self.lax = lax
        self.sessions: dict[tuple[str, str], Session] = {}
        self.starts: dict[tuple[str, str], str] = {}
        self.ids: dict[UUID, tuple[str, str]] = {}
        self.readings: dict[UUID, dict[tuple[datetime, int], Reading]] = {}
        self.tokens: dict[bytes, Token] = {}
        self.drivers: set[str] = set()
        self.identities: dict[tuple[str, str], str] = {}
        self.authorizations: dict[UUID, Authorization] = {}
        self.live: dict[tuple[str, bytes], UUID] = {}
        self.waiting: dict[UUID, set[tuple[str, str]]] = {}
        self.guarded: dict[tuple[str, str], int] = {}
        self.overdrawn: set[str] = set()
        self.postings: dict[str, Posting] = {}
        self.transfers: list[tuple[Posting, Transfer]] = []
        self.bills: list[Bill] = []
        self.billed: set[UUID] = set()
        self.outbox: dict[str, Errand] = {}
        self.concerns: dict[tuple[str, str], Concern] = {}
        self.parked: dict[UUID, Unreadable] = {}

    # -- load ---------------------------------------------------------------------------------------------

    def load(self, world: World, wanted: Wanted) -> None:
        """The wanted rows and what hangs on them, as the statement `load_world` finds them."""
        keys = {key for key in wanted.sessions if key in self.sessions}
        keys |= {(key[0], self.starts[key]) for key in wanted.starts if key in self.starts}
        for id_ in wanted.authorizations:
            keys |= self.waiting.get(id_, set())
        for key in keys:
            self._load_session(world, key)
        for station_id in wanted.stations | {key[0] for key in keys}:
            if station_id in self.stations:
                world.stations[station_id] = self.stations[station_id]
        for digest, station_id in wanted.tokens:
            self._load_token(world, digest)
            if (live := self.live.get((station_id, digest))) is not None:
                self._load_authorization(world, live)
        for id_ in wanted.authorizations:
            self._load_authorization(world, id_)
        for key in wanted.books & self.sessions.keys():
            self._load_books(world, self.sessions[key])

    def _load_books(self, world: World, session: Session) -> None:
        world.series[session.id] = tuple(sorted(self.readings.get(session.id, {}).values()))
        world.boots[session.id] = ()
        bills = tuple(issued(bill) for bill in self.bills if bill.session.id == session.id)
        world.books[session.id] = Books(bills)

    def _load_session(self, world: World, key: tuple[str, str]) -> None:
        session = self.sessions[key]
        world.sessions[key] = session
        world.starts[session.station_id, session.start_key] = session.ref
        if session.closed_at is None:
            world.progress[session.id] = self.progress(session.id)
            if session.authorization_id is not None:
                self._load_authorization(world, session.authorization_id)
        if session.authorization_id is not None and session.state in ("pending", "incomplete"):
            world.waiting.setdefault(session.authorization_id, set()).add(key)

    def progress(self, session_id: UUID) -> Progress:
        """What the stored readings of a session amount to."""
        return metered(NOTHING, tuple(self.readings.get(session_id, {}).values()))

    def _load_token(self, world: World, digest: bytes) -> None:
        token = self.tokens.get(digest)
        if token is None:
            return
        person = (token.issuer or "", token.subject or "")
        driver_id = token.driver_id or self.identities.get(person)
        spent_on = self.ids.get(token.session_id) if token.session_id else None
        is_open = spent_on is not None and self.sessions[spent_on].state in OPEN
        world.tokens[digest] = replace(token, driver_id=driver_id, session_open=is_open)
        if person in self.identities:
            world.identities[person] = self.identities[person]
        if token.psp is None and (balance := self.guarded.get((f"driver:{driver_id}:balance", "KRW"))) is not None:
            assert driver_id is not None
            world.balances[driver_id, "KRW"] = balance

    def _load_authorization(self, world: World, id_: UUID) -> None:
        authorization = self.authorizations.get(id_)
        if authorization is None:
            return
        world.authorizations[id_] = authorization
        if authorization.state in LIVE:
            world.live[authorization.station_id, authorization.token_key] = id_
        person = (authorization.issuer, authorization.subject)
        if person in self.identities:
            world.identities[person] = self.identities[person]

    # -- save ---------------------------------------------------------------------------------------------

    def save(self, changes: Changes) -> None:
        """Everything a batch changes, or LostRace and nothing."""
        self._verify_sessions(changes)
        self._verify_authorizations(changes)
        guarded, fresh = self._verified_postings(changes.postings)
        self._write_sessions(changes)
        self._write_authorizations(changes)
        self.guarded.update(guarded)
        self.overdrawn |= {address for (address, _), minor in guarded.items() if minor < 0}
        for posting in fresh:
            self.postings[posting.key] = posting
            self.transfers += [(posting, transfer) for transfer in posting.transfers]
        for row in changes.readings:
            self.readings.setdefault(row.session_id, {}).setdefault((row.reading.at, row.reading.digest), row.reading)
        self.bills += changes.bills
        self.billed |= {bill.session.id for bill in changes.bills}
        if "outbox" not in self.lax:
            self.write_errands(changes.errands)
        for concern in changes.concerns:
            self.concerns.setdefault((concern.kind, concern.ref), concern)
        for report in changes.parked:
            self.parked.setdefault(report.parked_id, report)

    def write_errands(self, errands: Iterable[Errand]) -> None:
        """New jobs; a key that stands already is the same work."""
        for errand in errands:
            self.outbox.setdefault(errand.key, errand)

    def _verify_sessions(self, changes: Changes) -> None:
        refs: set[tuple[str, str]] = set()
        for opened in changes.opened.values():
            keys = {(opened.station_id, f"ref {opened.ref}"), (opened.station_id, f"start {opened.start_key}")}
            taken = (opened.station_id, opened.ref) in self.sessions
            taken = taken or (opened.station_id, opened.start_key) in self.starts
            self._refuse("unique", taken or opened.id in self.ids or bool(refs & keys))
            refs |= keys
        for moved in changes.moved.values():
            stored = self.sessions.get((moved.station_id, moved.ref))
            self._refuse("versions", stored is None or stored.version != moved.version - 1)
        for digest in changes.spent:
            self._refuse("spent", self.tokens[digest].session_id is not None)
        billed = [bill.session.id for bill in changes.bills]
        self._refuse("bills", len(set(billed)) < len(billed) or not self.billed.isdisjoint(billed))

    def _verify_authorizations(self, changes: Changes) -> None:
        for person in changes.drivers:
            self._refuse("unique", person in self.identities)
        freed = set()
        for decided in changes.decided.values():
            stored = self.authorizations.get(decided.id)
            self._refuse("versions", stored is None or stored.version != decided.version - 1)
            if decided.state not in LIVE:
                freed.add(decided.id)
        for asked in changes.asked.values():
            live = self.live.get((asked.station_id, asked.token_key))
            is_second = asked.state in LIVE and live is not None and live not in freed
            self._refuse("asks", asked.id in self.authorizations or is_second)

    def _verified_postings(self, postings: list[Posting]) -> tuple[dict[tuple[str, str], int], list[Posting]]:
        """Guarded balances after the postings that are new, and those postings; as `post()` answers one by one."""
        balances: dict[tuple[str, str], int] = {}
        fresh: list[Posting] = []
        for posting in postings:
            stored = self.postings.get(posting.key)
            if stored is not None:
                self._refuse("postings", stored.transfers != posting.transfers)
                if "postings" not in self.lax:
                    continue
            for t in posting.transfers:
                for address, minor in ((t.debit, -t.minor), (t.credit, t.minor)):
                    if is_guarded(address):
                        key = (address, t.asset)
                        balances[key] = balances.get(key, self.guarded.get(key, 0)) + minor
            fresh.append(posting)
        self._refuse("balances", any(balance < 0 for balance in balances.values()))
        return balances, fresh

    def _refuse(self, what: str, is_wrong: bool) -> None:
        if is_wrong and what not in self.lax:
            raise LostRace(what)

    def _write_sessions(self, changes: Changes) -> None:
        for session in (*changes.opened.values(), *changes.moved.values()):
            key = (session.station_id, session.ref)
            self.sessions[key] = session
            self.starts[session.station_id, session.start_key] = session.ref
            self.ids[session.id] = key
            if session.authorization_id is not None:
                waiting = self.waiting.setdefault(session.authorization_id, set())
                (waiting.discard if session.state in CLOSED or session.state == "active" else waiting.add)(key)
        for digest, session_id in changes.spent.items():
            self.tokens[digest] = replace(self.tokens[digest], session_id=session_id)
        for alias in changes.issued:
            digest = token_key(alias.alias)
            whose = (alias.psp, alias.issuer, alias.subject, alias.station_id)
            row = Token(digest, "accepted", None, None, *whose, True, None, False, alias.expires_at)
            self.tokens.setdefault(digest, row)

    def _write_authorizations(self, changes: Changes) -> None:
        for person, (driver_id, _) in changes.drivers.items():
            self.drivers.add(driver_id)
            self.identities.setdefault(person, driver_id)
        for row in (*changes.decided.values(), *changes.asked.values()):
            self.authorizations[row.id] = row
            key = (row.station_id, row.token_key)
            if row.state in LIVE:
                self.live[key] = row.id
            elif self.live.get(key) == row.id:
                del self.live[key]

    # -- beside the road -----------------------------------------------------------------------------------

    def fund(self, driver_id: str, minor: int) -> None:
        """Money into a driver's balance."""
        address = f"driver:{driver_id}:balance"
        moves = (Transfer("psp:social:clearing", address, "KRW", minor),)
        posting = Posting(UUID(int=0), f"fund/{driver_id}", "top_up", driver_id, NOON, moves)
        self.guarded[address, "KRW"] = self.guarded.get((address, "KRW"), 0) + minor
        self.transfers += [(posting, transfer) for transfer in moves]

    def void_unused(self, now: datetime, after: timedelta) -> None:
        """What the timers do with authorizations that no start used."""
        for row in list(self.authorizations.values()):
            if row.state == "authorized" and (row.decided_at or row.asked_at) < now - after:
                self.authorizations[row.id] = row._replace(state="voiding", reason="unused", version=row.version + 1)
                self.live.pop((row.station_id, row.token_key), None)
                self.write_errands([void(row.id)])


def is_guarded(address: str) -> bool:
    """Accounts that may never be overdrawn, as far as sessions touch them."""
    return address.startswith("session:") or address.endswith(":balance")
