"""Tables as CSV, the same for programs and spreadsheets of every locale; no text of an event starts a formula.

A spreadsheet takes a cell for a formula by its first character, and where cells begin depends on the locale: a French
one splits at semicolons. There is no ``sep=`` line: with one, Excel ignores the byte order mark and breaks accents.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Sequence
from datetime import date

Value = str | int | float | date | None

_FORMULA_START = re.compile(r"(^|[,;|\t\r\n])([\s\"'\u00a0]*)(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")
_CONTROLS = {
    number: f"\\u{number:04x}"
    for number in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), *range(0x20), 0x7F)
    if number not in (0x09, 0x0A, 0x0D)
}
_CONTROL = re.compile(f"[{re.escape(''.join(map(chr, _CONTROLS)))}]")


def visible(text: str) -> str:
    """``text`` with bidirectional and other control characters written out: they could disguise a name as another.

    A :class:`markupsafe.Markup` stays one.
    """
    is_plain = text.isascii() and text.isprintable()
    # Searched first: translating the markup of a whole panel, which has none, takes a tenth of the page's time.
    return text if is_plain or _CONTROL.search(text) is None else text.translate(_CONTROLS)


def to_csv(rows: Iterable[Sequence[Value]]) -> str:
    """``rows`` as CSV with full numbers; control characters are written out."""
    written = io.StringIO()
    csv.writer(written).writerows([_cell(value) for value in row] for row in rows)
    return written.getvalue()


def _cell(value: Value) -> Value:
    if value is None:
        return ""
    if isinstance(value, date):
        return value.isoformat()
    return _FORMULA_START.sub(r"\1\2'", visible(value)) if isinstance(value, str) else value
