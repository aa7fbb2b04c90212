"""Asking a psp: the verdict comes as a report, in time or late, whatever the psp does meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime

import pytest

from csms.domain.authorization import Policy
from csms.domain.events import AuthorizationDecided
from csms.flows.authorize import Asker
from csms.psp.social import Social, SocialSettings
from tests.psp.contract import question
from tests.psp.social_process import SECRET, SocialProcess
from tests.psp.strange import answering

NOW = datetime(2019, 5, 1, 8, 0, tzinfo=UTC)


class Desk:
    """Where verdicts arrive, and an asker that reports there."""

    def __init__(self, psp: Social) -> None:
        self.psp = psp
        self.reports: asyncio.Queue[AuthorizationDecided] = asyncio.Queue()

    def asker(self, wait_s_max: float = 5.0, ask_s_max: float = 5.0) -> Asker:
        return Asker(
            {"social": self.psp},
            self.reports.put_nowait,
            lambda: NOW,
            lambda: "driver-1",
            wait_s_max=wait_s_max,
            ask_s_max=ask_s_max,
        )

    async def next(self) -> AuthorizationDecided:
        return await asyncio.wait_for(self.reports.get(), 5)


@pytest.fixture
async def desk(social: SocialProcess) -> AsyncIterator[Desk]:
    psp = Social(SocialSettings(social.url, SECRET, social.url))
    yield Desk(psp)
    await psp.close()


async def asked(social: SocialProcess, order: str) -> list[str]:
    return [entry["operation"] for entry in await social.journal() if entry.get("order_id") == order]


@pytest.mark.parametrize("policy", ["hold_capture", "charge_after"])
async def test_an_approval_is_reported_with_the_psps_name_for_it(
    social: SocialProcess, desk: Desk, policy: Policy
) -> None:
    ask = question(desk.psp, policy)
    desk.asker()(ask)
    report = await desk.next()
    assert (report.authorization_id, report.station_id, report.verdict) == (ask.authorization_id, "CP-1", "authorized")
    assert (report.received_at, report.driver_id) == (NOW, "driver-1")
    found = await desk.psp.get("hold" if policy == "hold_capture" else "stored", str(ask.authorization_id))
    assert found.psp_ref == report.psp_ref


async def test_a_refusal_is_reported_with_its_reason(desk: Desk) -> None:
    desk.asker()(question(desk.psp, subject="refused-jiho"))
    report = await desk.next()
    assert (report.verdict, report.reason) == ("declined", "NOT_ALLOWED_CUSTOMER")


async def test_asking_again_while_it_is_asked_is_one_asking(social: SocialProcess, desk: Desk) -> None:
    asker, ask = desk.asker(), question(desk.psp)
    await social.fail("authorize", "delay", count=1, delay_s=0.05)
    for _ in range(5):
        asker(ask)
    assert asker.asks(ask.authorization_id)
    assert (await desk.next()).verdict == "authorized"
    await asyncio.sleep(0)
    assert not asker.asks(ask.authorization_id)
    assert desk.reports.empty()
    assert await asked(social, str(ask.authorization_id)) == ["authorize"]


@pytest.mark.parametrize("kind", ["timeout_before", "timeout_after", "error_5xx", "error_after", "duplicate"])
async def test_a_lost_answer_is_asked_for_again_and_is_one_hold(social: SocialProcess, desk: Desk, kind: str) -> None:
    ask = question(desk.psp)
    await social.fail("authorize", kind)
    desk.asker()(ask)
    assert (await desk.next()).verdict == "authorized"
    assert await asked(social, str(ask.authorization_id)) == ["authorize"]


async def test_a_late_approval_is_reported_after_the_time_ran_out(social: SocialProcess, desk: Desk) -> None:
    await social.fail("authorize", "delay", delay_s=0.15)
    desk.asker(wait_s_max=0.03)(question(desk.psp))
    assert [(await desk.next()).verdict, (await desk.next()).verdict] == ["timed_out", "authorized"]


async def test_a_psp_that_never_answers_ends_in_unknown(social: SocialProcess, desk: Desk) -> None:
    await social.fail("authorize", "timeout_before", count=None)
    desk.asker(wait_s_max=0.03, ask_s_max=0.3)(question(desk.psp))
    assert [(await desk.next()).verdict, (await desk.next()).verdict] == ["timed_out", "unknown"]


async def test_a_psp_that_is_not_set_up_declines(desk: Desk) -> None:
    report: Callable[[AuthorizationDecided], None] = desk.reports.put_nowait
    Asker({}, report, lambda: NOW, lambda: "d")(question(desk.psp))
    assert (await desk.next()).verdict == "declined"


async def test_one_slow_driver_keeps_no_other_waiting(social: SocialProcess, desk: Desk) -> None:
    await social.fail("authorize", "delay", delay_s=0.3)
    asker, slow, quick = desk.asker(), question(desk.psp), question(desk.psp)
    asker(slow)
    await asyncio.sleep(0.05)
    asker(quick)
    assert (await desk.next()).authorization_id == quick.authorization_id
    assert (await desk.next()).authorization_id == slow.authorization_id


@pytest.mark.parametrize(
    ("statuses", "verdict"), [([503, 401], "unknown"), ([429, 401], "declined"), ([401], "declined")]
)
async def test_a_fault_of_ours_does_not_say_that_a_lost_ask_had_no_effect(statuses: list[int], verdict: str) -> None:
    async with answering((status, '{"code": "ANY"}') for status in statuses) as url:
        desk = Desk(Social(SocialSettings(url, SECRET, url)))
        desk.asker()(question(desk.psp))
        assert (await desk.next()).verdict == verdict
        await desk.psp.close()
