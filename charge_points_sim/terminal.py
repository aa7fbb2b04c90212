"""Words on a terminal: headings, marks and tables; plain text where nobody watches."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TextIO

STYLES = {"bold": "1", "dim": "2", "green": "32", "red": "31", "cyan": "36"}


class Terminal:
    """Writes to `out`; colours only on a terminal."""

    def __init__(self, out: TextIO = sys.stdout) -> None:
        self.out = out
        self.live = out.isatty()

    def paint(self, text: str, *styles: str) -> str:
        """The text in styles such as `bold`."""
        if not self.live or not styles:
            return text
        return f"\x1b[{';'.join(STYLES[style] for style in styles)}m{text}\x1b[0m"

    def say(self, text: str = "") -> None:
        """One line."""
        self.out.write(text + "\n")
        self.out.flush()

    def heading(self, text: str) -> None:
        """A new part of the story."""
        self.say()
        self.say(self.paint(text, "bold", "cyan"))

    def step(self, text: str, detail: str = "") -> None:
        """Something was done."""
        self.say(f"  {self.paint('•', 'cyan')} {text}" + (f"  {self.paint(detail, 'dim')}" if detail else ""))

    def verdict(self, good: bool, text: str) -> None:
        """Something was checked."""
        self.say(f"  {self.paint('✓', 'green') if good else self.paint('✗', 'red', 'bold')} {text}")

    def table(self, head: Sequence[str], rows: Sequence[Sequence[str]], total: Sequence[str] | None = None) -> None:
        """Columns as wide as they need; the first to the left, numbers to the right."""
        lines = [head, *rows, *([total] if total else [])]
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]

        def text(line: Sequence[str]) -> str:
            cells = [
                cell.ljust(width) if column == 0 else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ]
            return "  " + "   ".join(cells)

        self.say(self.paint(text(head), "dim"))
        for row in rows:
            self.say(text(row))
        if total:
            self.say(self.paint("  " + "─" * (sum(widths) + 3 * (len(widths) - 1)), "dim"))
            self.say(self.paint(text(total), "bold"))
