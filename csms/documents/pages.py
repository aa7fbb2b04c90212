"""
Pages of PDF: a title, pairs of label and value, tables.

The same content makes the same bytes: nothing in the file depends on the clock or on chance. No font is
embedded: Latin text is in one that every reader of PDF has, the rest in one that it takes from the system.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from xml.sax.saxutils import escape

from reportlab.lib.colors import HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import mm
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.cidfonts import UnicodeCIDFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

from csms.documents.parts import Grid, Note, Pairs, Part

FONT, WIDE_FONT = "Helvetica", "HYGothic-Medium"
MARGIN = 16 * mm
TEXT_LENGTH_MAX = 2_000
"""Characters of one cell: a cell is never longer than a page."""

GREY, LIGHT = HexColor("#555555"), HexColor("#dddddd")

_WIDE = re.compile(r"[^\x20-\x7e\xa0-\xff]+")

pdfmetrics.registerFont(UnicodeCIDFont(WIDE_FONT))

TITLE = ParagraphStyle("title", fontName=FONT, fontSize=17, leading=22, spaceAfter=2 * mm)
HEADING = ParagraphStyle("heading", fontName=FONT, fontSize=11, leading=14, spaceBefore=5 * mm, spaceAfter=1.5 * mm)
CELL = ParagraphStyle("cell", fontName=FONT, fontSize=8, leading=10)
LABEL = ParagraphStyle("label", parent=CELL, textColor=GREY)
LABEL_RIGHT = ParagraphStyle("label right", parent=LABEL, alignment=2)
RIGHT = ParagraphStyle("right", parent=CELL, alignment=2)


def pdf(title: str, parts: Sequence[Part]) -> bytes:
    """The document, A4; its pages are numbered."""
    out = BytesIO()
    template = SimpleDocTemplate(
        out, pagesize=A4, leftMargin=MARGIN, rightMargin=MARGIN, topMargin=MARGIN, bottomMargin=MARGIN,
        title=_fit(title), author="csms", invariant=1,
    )  # fmt: skip
    story: list[Flowable] = [Paragraph(_safe(title), TITLE)]
    for part in parts:
        story += _drawn(part, template.width)
    template.build(story, onFirstPage=_foot, onLaterPages=_foot)
    return out.getvalue()


def _drawn(part: Part, width: float) -> list[Flowable]:
    match part:
        case Note(text):
            return [Spacer(1, 2 * mm), Paragraph(_safe(text), CELL)]
        case Pairs(rows):
            cells = [[Paragraph(_safe(label), LABEL), Paragraph(_safe(value), CELL)] for label, value in rows]
            return [_table(cells, [width * 0.3, width * 0.7], header=False), Spacer(1, 2 * mm)]
        case Grid(heading, columns, rows, numbers):
            styles = [RIGHT if place in numbers else CELL for place in range(len(columns))]
            heads = [LABEL_RIGHT if place in numbers else LABEL for place in range(len(columns))]
            cells = [[Paragraph(_safe(column), style) for column, style in zip(columns, heads, strict=True)]]
            cells += [[Paragraph(_safe(cell), style) for cell, style in zip(row, styles, strict=True)] for row in rows]
            return [Paragraph(_safe(heading), HEADING), _table(cells, [width / len(columns)] * len(columns))]


def _table(cells: list[list[Paragraph]], widths: list[float], header: bool = True) -> Flowable:
    if not cells:
        return Spacer(1, 1)
    return Table(
        cells,
        colWidths=widths,
        repeatRows=1 if header else 0,
        style=[
            ("LINEBELOW", (0, 0), (-1, -1), 0.4, LIGHT),
            ("VALIGN", (0, 0), (-1, -1), "TOP"),
            ("LEFTPADDING", (0, 0), (-1, -1), 2),
            ("RIGHTPADDING", (0, 0), (-1, -1), 2),
            ("TOPPADDING", (0, 0), (-1, -1), 1.5),
            ("BOTTOMPADDING", (0, 0), (-1, -1), 1.5),
        ],
    )


def _foot(canvas: Canvas, document: SimpleDocTemplate) -> None:
    canvas.saveState()
    canvas.setFont(FONT, 7)
    canvas.setFillColor(GREY)
    canvas.drawRightString(A4[0] - MARGIN, MARGIN / 2, str(document.page))
    canvas.restoreState()


def _safe(text: str) -> str:
    """Text as the markup of a paragraph; what is not Latin names its font."""
    return _WIDE.sub(lambda wide: f'<font name="{WIDE_FONT}">{wide[0]}</font>', escape(_fit(text)))


def _fit(text: str) -> str:
    """Text in characters that the font can have: none beyond the first plane, no control characters."""
    return "".join(c if " " <= c <= "\uffff" and not "\ud800" <= c <= "\udfff" else "\ufffd" for c in text)[
        :TEXT_LENGTH_MAX
    ]
