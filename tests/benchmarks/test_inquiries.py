"""T15 works on a small scale: every seeded driver is offered vouchers over HTTP."""

from __future__ import annotations

import pytest

from tests.benchmarks import inquiries


def test_a_few_drivers_of_the_real_file_are_offered_vouchers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inquiries, "DRIVERS_QUICK", 3)

    found = inquiries.measure(quick=True)

    assert (found.drivers, len(found.taken_ms)) == (3, 3 * inquiries.TAKES)
    assert found.quarters > 1_000
    assert "3 drivers" in inquiries.lines(found)
