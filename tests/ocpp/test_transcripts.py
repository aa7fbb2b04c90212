"""Every conversation in `transcripts/`, word by word."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ocpp.transcript import FOLDER, play


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.txt")), ids=lambda path: path.stem)
def test_the_conversation_goes_as_written(path: Path) -> None:
    play(path)
