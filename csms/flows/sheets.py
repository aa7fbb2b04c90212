"""Rows as CSV and as XLSX: the same cells in both, and none that a spreadsheet would run."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from datetime import datetime
from pathlib import Path

Cell = str | int | bool | None

BOM = "\ufeff"
"""What some spreadsheets need before they read CSV as UTF-8."""

SHEET_ROWS_MAX = 1_000_000
"""Rows of a sheet beside its heading; XLSX ends at 1,048,576. More go on a further sheet."""

TEXT_LENGTH_MAX = 32_767
"""Characters of a cell in XLSX."""

EXACT_MAX = 2**53
"""XLSX keeps numbers as floating point: above this a whole number is written as text."""

_RISKY = re.compile(r"[\s\ufeff]*[=+\-@\uff1d\uff0b\uff0d\uff20]|[\t\r\n]")
"""What begins a formula, also in its full-width form and after blanks, which some spreadsheets strip."""
_NUMBER = re.compile(r"-?[0-9]+(?:\.[0-9]+)?")
_QUOTED = re.compile(r'[",\r\n]')
_UNFIT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def harmless(text: str) -> str:
    """Text that no spreadsheet takes for a formula: an apostrophe in front of what it might; numbers stay."""
    return f"'{text}" if _RISKY.match(text) and not _NUMBER.fullmatch(text) else text


def csv_line(cells: Sequence[Cell]) -> str:
    """One line of RFC 4180 CSV, CRLF included, harmless to spreadsheets."""
    return ",".join([_csv_cell(cell) for cell in cells]) + "\r\n"


def _csv_cell(cell: Cell) -> str:
    if not isinstance(cell, str):
        return "" if cell is None else str(cell)
    text = harmless(cell)
    if _QUOTED.search(text):
        return '"' + text.replace('"', '""') + '"'
    return text


class Workbook:
    """
    An XLSX file that is written row by row in constant memory; `close` makes the file.

    The same rows make the same bytes: the file says `made_at` of itself, nothing of the clock.
    """

    def __init__(self, path: Path, name: str, columns: Sequence[str], made_at: datetime) -> None:
        import xlsxwriter  # only who writes a workbook waits for it

        self._book = xlsxwriter.Workbook(
            str(path),
            {
                "constant_memory": True,
                "strings_to_formulas": False,
                "strings_to_urls": False,
                "tmpdir": str(path.parent),
            },
        )
        self._book.set_properties({"title": name, "created": made_at.replace(tzinfo=None)})
        self._heading = self._book.add_format({"bold": True})
        self._name, self._columns = name, columns
        self._sheets = 0
        self._begin_sheet()

    def write(self, rows: Iterable[Sequence[Cell]]) -> None:
        """Adds rows."""
        for cells in rows:
            if self._row > SHEET_ROWS_MAX:
                self._begin_sheet()
            for place, cell in enumerate(cells):
                if cell is None:
                    continue
                if isinstance(cell, bool):
                    self._sheet.write_boolean(self._row, place, cell)
                elif isinstance(cell, int) and abs(cell) <= EXACT_MAX:
                    self._sheet.write_number(self._row, place, cell)
                else:
                    text = _UNFIT.sub("\ufffd", harmless(str(cell)))
                    self._sheet.write_string(self._row, place, text[:TEXT_LENGTH_MAX])
            self._row += 1

    def close(self) -> None:
        """Makes the file; takes a while when there are many rows."""
        self._book.close()

    def _begin_sheet(self) -> None:
        self._sheets += 1
        name = self._name[:28]
        self._sheet = self._book.add_worksheet(name if self._sheets == 1 else f"{name}{self._sheets}")
        for place, column in enumerate(self._columns):
            self._sheet.write_string(0, place, column, self._heading)
        self._sheet.freeze_panes(1, 0)
        self._row = 1
