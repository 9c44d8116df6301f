"""Answers a request with a list as CSV or as JSON Lines, row by row, however long it is."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import flask

T = TypeVar("T")

FORMULA_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")
"""With which a spreadsheet takes a cell for a formula: owasp.org/www-community/attacks/CSV_Injection"""
FORMATS = ("csv", "jsonl")
PAGE = 500


def response(name: str, form: str, rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> flask.Response:
    """Returns the rows as a file to download. ``form``: one of FORMATS, else the page is not found."""
    if form not in FORMATS:
        flask.abort(404)
    lines = _csv_lines(rows, columns) if form == "csv" else _json_lines(rows)
    kind = "text/csv; charset=utf-8" if form == "csv" else "application/jsonl"
    return flask.Response(
        lines, 200, {"Content-Disposition": f'attachment; filename="{name}.{form}"'}, content_type=kind
    )


def in_pages(load: Callable[[T | None], Sequence[T]]) -> Iterator[T]:
    """Yields the entries of all pages. ``load``: returns the page behind an entry; None: the first one."""
    last: T | None = None
    while page := load(last):
        yield from page
        last = page[-1]


def _csv_lines(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> Iterator[str]:
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(columns)
    for row in rows:
        writer.writerow([_cell(row[column]) for column in columns])
        yield buffer.getvalue()
        buffer.seek(0)
        buffer.truncate()
    yield buffer.getvalue()


def _cell(value: Any) -> Any:
    """Returns a value that no spreadsheet runs as a formula."""
    if isinstance(value, str) and value.startswith(FORMULA_BEGINNINGS):
        return f"'{value}"
    return "" if value is None else value


def _json_lines(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"
