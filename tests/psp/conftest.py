"""One social-payment server for the tests of the psp port."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import pytest

from tests.psp.social_process import SocialProcess


@pytest.fixture(scope="session")
def social_process() -> Iterator[SocialProcess]:
    server = SocialProcess.start()
    yield server
    server.kill()


@pytest.fixture
async def social(social_process: SocialProcess) -> AsyncIterator[SocialProcess]:
    """The shared server, without faults."""
    yield social_process
    await social_process.heal()
