"""Rewriting the copy without what is pruned or erased. What the database does not know is never dropped.

The new file is written beside the old one, a few lines at a time, while the old one goes on following; in the last
step it takes the old one's name.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from daemon.queue import chain
from daemon.queue.abstract import Place, directory, heads, link_record, live_links, standing
from daemon.queue.lines import LINE_MAX, Record, decode, encode, split

STEP: Final = 500
_LINK = "SELECT gone FROM chain WHERE id = ?"


class Compaction:
    """One rewriting of one copy. Call `step` on the database's thread until it is done, then `finish` or `abandon`."""

    def __init__(self, conn: sqlite3.Connection, path: Path, first: Record) -> None:
        self._path, self._draft = path, path.with_name(path.name + ".new")
        self._first = first
        with suppress(FileNotFoundError):
            self._draft.unlink()
        self._fd = os.open(self._draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        #: A bit for each link that has its line in the new file: eight million punches a megabyte.
        self._kept = bytearray()
        self._at = 0
        self._mended = 1
        self._source = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        self._out([first, *directory(conn)])

    def step(self, conn: sqlite3.Connection, limit: int = STEP) -> bool:
        """Look at the next lines; whether there may be more."""
        lines = 0
        records: list[Record] = []
        for line in split(self._pieces()):
            if lines == limit or (not line.endswith(b"\n") and len(line) < LINE_MAX):
                break
            lines += 1
            self._at += len(line)
            record = decode(line)
            if record is not None and self._keeps(conn, record):
                records += self._with_standing(conn, record)
        self._out(records)
        return lines == limit or self._mend(conn, limit)

    def finish(self, conn: sqlite3.Connection, reach: Place) -> int:
        """Put the new file in the old one's place; its descriptor, open to append."""
        while self.step(conn):
            pass
        self._out([{"is": "here", "n": reach.link, "j": reach.line}])
        os.fsync(self._fd)
        os.rename(self._draft, self._path)
        self._close()
        directory_fd = os.open(self._path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            with suppress(OSError):  # the name that is there after a power cut is one of two whole files
                os.fsync(directory_fd)
        finally:
            os.close(directory_fd)
        return os.open(self._path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)

    def abandon(self) -> None:
        """Leave the old file as it is."""
        self._close()
        with suppress(OSError):
            self._draft.unlink()

    def _keeps(self, conn: sqlite3.Connection, record: Record) -> bool:
        if record["is"] == "mark":
            return bool(record["of"] != self._first["of"])  # of ours the punch's own line tells it from now on
        if record["is"] not in ("punch", "tap"):
            return False  # the directory stands at the top, as it is now
        if record["of"] != self._first["of"]:
            return True
        link, row = record["n"], conn.execute(_LINK, (record["n"],)).fetchone()
        if row is None and link <= chain.head(conn)[0]:
            return False  # merged into a later link: it was pruned, or replaced
        if row is not None and row[0] is not None:
            return False
        if self._has(link):
            return False  # it stands there twice
        self._note(link)
        return True

    def _with_standing(self, conn: sqlite3.Connection, record: Record) -> Iterator[Record]:
        """The line, with where its punch stands now: the marks that told it are left out."""
        stands = standing(conn, record["punch"]["id"]) if record["is"] == "punch" else None
        if stands is not None:
            record = {key: value for key, value in record.items() if key not in _STANDING} | stands
        yield {key: value for key, value in record.items() if key != "sum"}

    def _mend(self, conn: sqlite3.Connection, limit: int) -> bool:
        """Write the lines of links that have none, as where a line of the old file was damaged; whether to go on."""
        rows = live_links(conn, self._mended, limit)
        records = []
        for row in rows:
            self._mended = row[0]
            if not self._has(row[0]):
                record = link_record(row)
                if record is not None:
                    self._note(row[0])
                    records.append({**record, "n": row[0], "j": heads(conn).line})
        self._out(records)
        return len(rows) == limit

    def _out(self, records: list[Record]) -> None:
        here = {"of": self._first["of"], "n": self._first["n"], "j": self._first["j"]}
        view = memoryview(b"".join(encode({**here, **record}) for record in records))
        while view:
            view = view[os.write(self._fd, view) :]

    def _pieces(self) -> Iterator[bytes]:
        at = self._at
        while piece := os.pread(self._source, 64 * 1024, at):
            at += len(piece)
            yield piece

    def _has(self, link: int) -> bool:
        return link // 8 < len(self._kept) and bool(self._kept[link // 8] & 1 << link % 8)

    def _note(self, link: int) -> None:
        if link // 8 >= len(self._kept):
            self._kept.extend(bytes(link // 8 + 1 - len(self._kept)))
        self._kept[link // 8] |= 1 << link % 8

    def _close(self) -> None:
        for fd in (self._fd, self._source):
            with suppress(OSError):
                os.close(fd)
        self._fd = self._source = -1  # closed once: another thread may have got these numbers since


_STANDING = frozenset({"state", "reason", "detail", "remote_id", "recorded_as"})
