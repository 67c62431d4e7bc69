"""Labels as people write them: words, and a table that gives each file its own.

The table is comma-separated text in UTF-8, with or without a byte order mark, whose first line
names the columns ``file`` and ``labels``; others may stand beside them. A file is a path below the
folder, with slashes; its labels are words apart by semicolons, or nothing.
"""

import csv
import io
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from data_pipelines.text_files import read_text
from gmsdi_jax.errors import InputError

MAX_BYTES = 2**28
"""The largest table that is read: some millions of files."""
MAX_LABEL, MAX_LABELS = 200, 1000
"""Characters of a label, and labels of a file: every label of a data set has a row in the model."""


def read_table(path: Path) -> dict[str, tuple[str, ...]]:
    """The labels of each file in a table of ``file,labels``; other columns are ignored.

    Raises:
        InputError: it cannot be read, lacks a column, or a row is malformed; the line is named.
    """
    rows = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    labels: dict[str, tuple[str, ...]] = {}
    try:
        header = [name.strip() for name in next(rows, [])]
        if header.count("file") != 1 or header.count("labels") != 1:
            shown = ",".join(header)[:60]
            raise ValueError(f"its columns are {shown!r}, not file,labels (apart by commas)")
        for row in rows:
            if not row:
                continue
            if len(row) != len(header):
                raise ValueError(f"{len(row)} columns, not {len(header)}: labels go apart by ;")
            name = unicodedata.normalize("NFC", row[header.index("file")].strip())
            name = name.removeprefix("./")
            if not name or name.startswith("/") or ".." in name.split("/"):
                raise ValueError(f"file {name[:60]!r} is no path inside the folder")
            if name in labels:
                raise ValueError(f"{name[:100]} is there twice")
            labels[name] = clean(row[header.index("labels")].split(";"))
    except (ValueError, csv.Error) as error:
        raise InputError(f"{path} line {max(1, rows.line_num)}: {error}") from error
    return labels


def _text(path: Path) -> str:
    try:
        return read_text(path, MAX_BYTES)
    except FileNotFoundError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}): check the name") from error


def clean(words: Iterable[object]) -> tuple[str, ...]:
    """Labels without the spaces around them, each once, empty ones left out.

    Raises:
        ValueError: one is not a word, or does not stay on its line, or there are too many.
    """
    labels = []
    for word in words:
        if not isinstance(word, str) or not word.strip().isprintable():
            raise ValueError(f"a label is {str(word)[:40]!r}, not a word")
        if len(word.strip()) > MAX_LABEL:
            raise ValueError(f"a label has {len(word.strip())} characters: {word.strip()[:40]!r}")
        labels.append(word.strip())
    if len(labels) > MAX_LABELS:
        raise ValueError(f"{len(labels)} labels of one file")
    return tuple(label for label in dict.fromkeys(labels) if label)
