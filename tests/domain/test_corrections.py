"""Refunds and corrections as pure rules: shares stay non-negative, sum exactly, and reach nothing at full refund."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st

from csms.domain import corrections, tariff_document
from csms.domain.billing import close
from csms.domain.books import Books, Left, issued
from csms.domain.corrections import Correction
from csms.domain.events import BillCorrected, BillRefunded
from csms.domain.ledger import Posting
from csms.domain.session import Priced, Session, Station, Terms, accepted, opened
from csms.domain.settlement import Split
from csms.domain.tariff import Usage

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
SESSION = UUID("01900000-0000-7000-8000-000000000100")
PAYMENT = UUID("01900000-0000-7000-8000-000000000777")

splits = st.builds(
    Split,
    st.integers(0, 10_000),
    st.integers(0, 300),
    st.integers(0, 200),
    st.one_of(st.none(), st.integers(200, 2_000)),
)
hosts = st.one_of(st.just(0), st.integers(0, 10_000))
energies = st.integers(0, 60_000)
parts = st.lists(st.integers(1, 9_000), max_size=6)


def priced_at(split: Split) -> Priced:
    components = [
        {"type": "ENERGY", "price": 300, "vat": 10, "step_size": 1},
        {"type": "FLAT", "price": 100, "vat": 10, "step_size": 1},
    ]
    document = {"currency": "KRW", "tax_included": "YES", "elements": [{"price_components": components}]}
    return Priced(tariff_document.parse(document), split)


def settled(
    split: Split, energy_wh: int, means: str = "balance", hold: int = 30_000, host_bp: int = 0
) -> tuple[Session, Books]:
    terms = Terms("T", 1, "KRW", hold, 1)
    session = opened(Station("S1", "charger", "P", "site", 1, terms, {}), SESSION, "r1", "r1", False, NOON)
    session = session._replace(host_bp=host_bp)
    session = accepted(session._replace(means=means, started_at=NOON, ended_at=NOON + timedelta(hours=1)), "ann", hold)
    if means == "psp":
        session = session._replace(psp="social", policy="hold_capture")
    closing = close(session, Usage(energy_wh, 3600), priced_at(split), NOON)
    assert closing.bill is not None
    total = closing.bill.price.total_minor
    payments = (Left(PAYMENT, "social", total),) if means == "psp" and total else ()
    return closing.session, Books((issued(closing.bill),), payments, "done", 5_000)


def given_back(session: Session, minor: int, number: int) -> BillRefunded:
    return BillRefunded(session.station_id, session.ref, NOON, UUID(int=number << 8), minor, "broken plug", "staff")


def after(books: Books, correction: Correction) -> Books:
    paid = sum(row.amount_minor for row in correction.refunds)
    left = tuple(payment._replace(left_minor=payment.left_minor - paid) for payment in books.payments)
    return Books((*books.issued, *map(issued, correction.bills)), left, books.collection, books.balance_minor)


def moved(postings: tuple[Posting, ...]) -> dict[str, int]:
    balances: dict[str, int] = {}
    for posting in postings:
        for transfer in posting.transfers:
            balances[transfer.debit] = balances.get(transfer.debit, 0) - transfer.minor
            balances[transfer.credit] = balances.get(transfer.credit, 0) + transfer.minor
    return {address: minor for address, minor in balances.items() if minor}


@given(splits, hosts, energies, parts, st.sampled_from(["balance", "psp"]))
def test_refunds_keep_all_shares_above_nothing_and_leave_nothing_at_the_last(
    split: Split, host_bp: int, energy_wh: int, amounts: list[int], means: str
) -> None:
    session, books = settled(split, energy_wh, means, host_bp=host_bp)
    total = books.net().total_minor
    for number, amount in enumerate([*amounts, total], 1):
        minor = min(amount, books.net().total_minor)
        if minor == 0:
            break
        before = books.net()
        correction = corrections.refund(session, books, given_back(session, minor, number))
        assert correction.refused is None
        session, books = correction.session, after(books, correction)
        net = books.net()
        assert net.total_minor == before.total_minor - minor == session.fee_minor
        assert net.operator_minor + net.host_minor + net.provider_minor == net.total_minor
        assert 0 <= net.operator_minor <= before.operator_minor
        assert 0 <= net.provider_minor <= before.provider_minor
        assert 0 <= net.host_minor <= before.host_minor
        assert 0 <= net.operator_vat_minor <= net.vat_minor <= net.total_minor
        driver = "psp:social:refunds" if means == "psp" else "driver:ann:balance"
        assert moved(correction.postings)[driver] == minor
        assert moved(correction.postings).get("site:site:payable", 0) == net.host_minor - before.host_minor
        assert sum(moved(correction.postings).values()) == 0
        assert f"session:{SESSION}:held" not in moved(correction.postings)
    assert books.net()[5:12] == (0, 0, books.net().not_charged_minor, 0, 0, 0, 0)


@given(splits, hosts, energies, energies, st.sampled_from(["balance", "psp"]), st.integers(0, 8_000))
def test_a_corrected_session_stands_as_if_it_had_been_billed_so_at_first(
    split: Split, host_bp: int, first_wh: int, true_wh: int, means: str, refunded: int
) -> None:
    session, books = settled(split, first_wh, means, host_bp=host_bp)
    _, right = settled(split, true_wh, means, host_bp=host_bp)
    if 0 < refunded <= books.net().total_minor:
        refund = corrections.refund(session, books, given_back(session, refunded, 1))
        session, books = refund.session, after(books, refund)
    event = BillCorrected("S1", "r1", NOON, session.revision, true_wh, None, "meter exchanged", "staff")

    correction = corrections.correct(session, books, priced_at(split), (), event)

    assert correction.refused is None
    assert after(books, correction).net()[3:12] == right.net()[3:12]
    assert correction.session.fee_minor == right.net().total_minor
    flows = moved(correction.postings)
    assert f"session:{SESSION}:held" not in flows
    assert flows.get("provider:P:payable", 0) == right.net().provider_minor - books.net().provider_minor
    assert flows.get("site:site:payable", 0) == right.net().host_minor - books.net().host_minor


@given(splits, energies)
def test_a_correction_of_an_older_bill_is_refused(split: Split, energy_wh: int) -> None:
    session, books = settled(split, energy_wh)

    assert corrections.refusal(session, books, session.revision + 1)
    assert corrections.refusal(session, books, session.revision) is None


def test_money_that_comes_back_pays_a_debt_first() -> None:
    session, books = settled(Split(1000), 10_000)
    owing = Books(books.issued, (), "done", 0, debt_minor=400)

    correction = corrections.refund(session, owing, given_back(session, 1_000, 1))

    assert moved(correction.postings)["driver:ann:debt"] == 400
    assert moved(correction.postings)["driver:ann:balance"] == 600
