"""Tables of separated values with a header, read strictly: CSV, TSV, and with semicolons or bars.

The format is that of RFC 4180 with any of four separators. The separator is the one that a first line
`sep=;` names, else the one with which the header has most of the columns that the caller knows. Names of
columns are found in any case and with spaces around them. White space around cells is removed, and lines
without any value are skipped.

- A row with more or fewer values than the header is given with the reason and without values: an unquoted
  separator in a text would otherwise cut the text.
- A quote that is not closed, or that ends before its cell does, is an error for the whole file: no one can
  say which of the following lines are rows.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from threading import Lock

from judge.errors import InputError
from judge.tables.text import OpenFile, read_lines

TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".psv")
"""Suffixes of tables of separated values."""
SEPARATORS = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar"}
"""The separators that are tried, in order of preference, and their names."""
MAX_CELL_CHARS = 2**31 - 1
_HEADER_LINES = 20
_SEPARATOR_LINE = re.compile(r'"?sep=(.)"?\s*', re.IGNORECASE)
_LISTED_COLUMNS = 8
_FIELD_LIMIT_LOCK = Lock()


@dataclass(frozen=True)
class TableRow:
    """One row of a table."""

    line: int
    """Line of the file on which the row begins, from 1."""
    cells: dict[str, str]
    """Column -> value; empty if the row has a `problem`."""
    problem: str = ""
    """Why the row is not usable; empty if it is."""
    first: str = ""
    """Value of the first column, which an unquoted separator further on cannot have changed."""


class SeparatedTable:
    """A table of separated values. Its header is read at once, its rows when they are needed.

    Args:
        open_file: opens the file.
        name: of the file, for errors.
        known: columns that the caller knows. A column of the file that has such a name in another case gets
            the name as given here.
        field: what the caller calls this input; errors begin with it.

    Raises:
        InputError: the file is not text, or its header has a column twice.
    """

    def __init__(
        self, open_file: OpenFile, name: str, known: Sequence[str] = (), field: str = "rows"
    ) -> None:
        self.open_file, self.name, self.field = open_file, name, field
        self._known = {_normalise(column): column for column in known}
        lines = list(islice(read_lines(open_file, name, field), _HEADER_LINES))
        stated = _SEPARATOR_LINE.fullmatch(lines[0]) if lines else None
        self._skipped_lines = 1 if stated else 0
        self.separator, self.columns = self._read_header(
            lines[self._skipped_lines :], [stated[1]] if stated else list(SEPARATORS)
        )
        """The separator, and the names of the columns; no columns if the file is empty."""
        named = [column for column in self.columns if column]
        for column in named:
            if named.count(column) > 1:
                mend = f"{name} has it {named.count(column)} times: rename or remove one"
                raise InputError(field, column, "columns with different names", mend)

    def _read_header(self, lines: Sequence[str], separators: Sequence[str]) -> tuple[str, list[str]]:
        """Return the separator that suits the header best, and the columns it gives."""
        headers, quote_error = {}, None
        for separator in separators:
            try:
                headers[separator] = next(_records(iter(lines), separator, self._skipped_lines), (0, []))[1]
            except _QuoteError as error:
                quote_error = quote_error or error
        if not headers and quote_error:
            raise quote_error.to_input_error(self.name, self.field)

        def fitness(separator: str) -> tuple[int, int]:
            columns = [_normalise(column) for column in headers[separator]]
            return sum(column in self._known for column in columns), len(columns)

        best = max(headers, key=fitness)  # the first of equals
        columns = [self._known.get(_normalise(column), _strip(column)) for column in headers[best]]
        return best, columns

    @property
    def separator_name(self) -> str:
        """The separator in words."""
        return SEPARATORS.get(self.separator, repr(self.separator))

    def rows(self) -> Iterator[TableRow]:
        """Yield the rows after the header.

        Raises:
            InputError: a quote is not closed, or the file is not text; the line is named.
        """
        lines = islice(read_lines(self.open_file, self.name, self.field), self._skipped_lines, None)
        start = 0
        records = _records(lines, self.separator, self._skipped_lines)
        try:
            next(records, None)  # the header
            for start, cells in records:
                yield self._to_row(start, cells)
        except _QuoteError as error:
            raise error.to_input_error(self.name, self.field) from None

    def _to_row(self, line: int, cells: list[str]) -> TableRow:
        if len(cells) == len(self.columns):
            return TableRow(line, dict(zip(self.columns, cells, strict=True)))
        more = ", ..." if len(self.columns) > _LISTED_COLUMNS else ""
        listing = ", ".join(self.columns[:_LISTED_COLUMNS]) + more
        mend = (
            f"put a cell with a {self.separator_name} in it between double quotes"
            if len(cells) > len(self.columns)
            else f"fill in the missing ones, separated by a {self.separator_name}"
        )
        problem = f"line {line} has {len(cells)} values for {len(self.columns)} columns ({listing}): {mend}"
        return TableRow(line, {}, problem, cells[0])


class _QuoteError(Exception):
    """A quote that is not closed, or that ends too early.

    Args:
        line: on which the row with the quote begins.
        reason: what is wrong and what to do.
    """

    def __init__(self, line: int, reason: str) -> None:
        super().__init__(reason)
        self.line, self.reason = line, reason

    def to_input_error(self, name: str, field: str) -> InputError:
        """Return the error for the caller."""
        allowed = "cells whose double quotes are closed, with quotes inside them doubled"
        return InputError(field, f"{name}, line {self.line}", allowed, self.reason)


def read_records(
    open_file: OpenFile, name: str, separator: str = ",", field: str = "file"
) -> Iterator[tuple[int, list[str]]]:
    """Yield (line, values) of a file without a header; rows may have any number of values.

    Args:
        open_file: opens the file.
        name: of the file, for errors.
        separator: between the values.
        field: what the caller calls this input.

    Raises:
        InputError: a quote is not closed, or the file is not text; the line is named.
    """
    try:
        yield from _records(read_lines(open_file, name, field), separator)
    except _QuoteError as error:
        raise error.to_input_error(name, field) from None


def _records(lines: Iterator[str], separator: str, line: int = 0) -> Iterator[tuple[int, list[str]]]:
    """Yield the line on which each record begins, and its values; records without values are skipped.

    Args:
        lines: the lines with their ends.
        separator: between the values.
        line: number of lines of the file before these.

    Raises:
        _QuoteError: a quote is not closed, or ends too early.
    """
    reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
    while True:
        start = line + reader.line_num + 1
        try:
            cells = _next_record(reader)
        except csv.Error as error:
            end = line + reader.line_num
            if "end of data" in str(error):
                reason = f"a quote that opens on line {start} or after is not closed until the end: close it"
            else:
                reason = f"after a closing quote on line {end} there is more text: close or double the quote"
            raise _QuoteError(start, reason) from None
        if cells is None:
            return
        if any(cells := [_strip(cell) for cell in cells]):
            yield start, cells


def _next_record(reader: Iterator[list[str]]) -> list[str] | None:
    """Return the next record, or None at the end.

    The csv module has one limit of the length of a cell for the whole process; data: URLs are longer. It is
    raised only while a record is read.
    """
    with _FIELD_LIMIT_LOCK:
        limit = csv.field_size_limit(MAX_CELL_CHARS)
        try:
            return next(reader, None)
        finally:
            csv.field_size_limit(limit)


def _strip(cell: str) -> str:
    return cell.strip().strip("\ufeff")


def _normalise(column: str) -> str:
    return _strip(column).casefold()
