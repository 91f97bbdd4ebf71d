"""Damage at every place of a directory, each judged by what a start and a check of production make of it.

A whole start with its check costs some milliseconds, a salvage and what follows it ten times as much, and a place in
the database is damaged a hundred thousand times. So each place is *looked at*, and some of the places are *judged
whole* (`tests.support.damage.judge`):

- The look is `judge` as well, on the same files, with two differences. Where the start sets out to salvage it stops,
  and tells why. And what is pure (a line's decoding, a digest) is computed once for each thing it is asked of,
  and once more in the end. So each single place either starts with every punch unaltered, or is refused with a
  reason and left as it is, or is found: by the start, which has then changed nothing yet, or by the check.
- Judged whole, with its salvages, is the first place of each kind, and a random share of the others. Of one kind are
  places in the same unit (a page, a frame, a line) that make the same words of what is found, but for the numbers.
"""

from __future__ import annotations

import bisect
import marshal
import random
import re
import sqlite3
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from daemon.queue import chain, copying, starting
from daemon.queue.lines import split
from daemon.queue.opening import PAGE_SIZE
from tests.support.damage import DB, WAL, Facts, judge

#: One in so many of the places that are not the first of their kind is judged whole as well.
SHARE = 50
#: What one byte is changed by: one of its bits, or all of them.
MASKS = (1, 2, 4, 8, 16, 32, 64, 128, 255)
WRONG_MAX = 50
TELL_S = 60.0


class SalvagesError(Exception):
    """The start would salvage now."""


@dataclass
class Tried:
    """What a sweep saw. `wrong` names each place that broke the promise."""

    looked: Counter[str] = field(default_factory=Counter)
    kinds: set[tuple[object, ...]] = field(default_factory=set)
    whole: int = 0
    salvaged: int = 0
    refused: set[object] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        outcomes = ", ".join(f"{count} {what}" for what, count in self.looked.most_common())
        return (f"{self.looked.total()} places: {outcomes}; {self.whole} of them judged whole "
                f"({len(self.kinds)} kinds), {self.salvaged} salvages; {len(self.wrong)} wrong")  # fmt: skip


class Sweep:
    """A working directory that is put back to what was made before each place."""

    def __init__(self, folder: Path, made: Path, truth: Facts, tell: Callable[[str], None]) -> None:
        self.folder, self._truth, self._tell = folder, truth, tell
        self._content = {path.name: path.read_bytes() for path in made.iterdir()}
        self.tried = Tried()
        self._chance = random.Random(len(truth))
        self._told_at = self._began = time.monotonic()
        folder.mkdir(exist_ok=True)

    def restore(self, name: str = "", content: bytes = b"") -> None:
        """As it was made; but one file as it is given."""
        for path in self.folder.iterdir():
            if path.is_dir():
                for inner in path.iterdir():
                    inner.unlink()
                path.rmdir()
            elif path.name not in self._content:
                path.unlink()
        for each, whole in self._content.items():
            (self.folder / each).write_bytes(content if each == name else whole)

    def flipped(self, name: str, offset: int, mask: int) -> bytes:
        """A file with one byte changed."""
        content = bytearray(self._content[name])
        content[offset] ^= mask
        return bytes(content)

    async def place(self, name: str, where: object, content: bytes, unit: object, *, whole: bool = False) -> str:
        """Look at one place, and judge it whole where it is the first of its kind, or chosen; what the look saw."""
        self.restore(name, content)
        outcome, words = await self._look(name, where, content)
        self.tried.looked[outcome] += 1
        self.tried.refused |= {where} if outcome == "refused" else set()
        kind = (name, unit, outcome, _same_words(words))
        first = kind not in self.tried.kinds
        self.tried.kinds.add(kind)
        if whole or first or self._chance.randrange(SHARE) == 0:
            self.restore(name, content)
            await self._judge_whole(name, where, outcome)
        self._progress(name, where)
        return outcome

    async def _look(self, name: str, where: object, content: bytes) -> tuple[str, str]:
        try:
            with _stopping_before_salvages():
                judged = await judge(self.folder, self._truth, lists=False)
        except SalvagesError as why:
            if (self.folder / name).read_bytes() != content:
                self._is_wrong(name, where, "something was changed before the salvage")
            return "salvaged at the start", str(why)
        except Exception as error:  # noqa: BLE001  # whatever else it is, a start must not end with it
            self._is_wrong(name, where, f"{type(error).__name__}: {error}")
            return "ended", type(error).__name__
        if judged.refused:
            return "refused", judged.refused
        if judged.findings:
            return "found by the check", "; ".join(judged.findings)
        if judged.missing or judged.altered or judged.added:
            self._is_wrong(name, where, f"{judged.missing=}, {judged.altered=}, {judged.added=}")
        return "all there", ""

    async def _judge_whole(self, name: str, where: object, looked: str) -> None:
        self.tried.whole += 1
        try:
            judged = await judge(self.folder, self._truth)
            if judged.findings:  # found by the check, not at the start: the next start salvages by itself
                (self.folder / "punchd.damaged").write_text(judged.findings[0])
                again = await judge(self.folder, self._truth)
                outcome = "found by the check"
                if not again.salvaged or again.findings:
                    self._is_wrong(name, where, f"found by the check, and then: {again}")
            else:
                again = judged
                outcome = "salvaged at the start" if judged.salvaged else "refused" if judged.refused else "all there"
        except Exception as error:  # noqa: BLE001
            self._is_wrong(name, where, f"judged whole: {type(error).__name__}: {error}")
            return
        self.tried.salvaged += again.salvaged
        if outcome != looked:
            self._is_wrong(name, where, f"judged whole it is {outcome}, looked at it was {looked}")
        told = again.report.get("lost_total"), again.report.get("altered_total")
        if again.missing or again.altered or again.added or any(told):
            self._is_wrong(name, where, f"judged whole: {again}")

    def _is_wrong(self, name: str, where: object, words: str) -> None:
        self.tried.wrong.append(f"{name} at {where}: {words[:2000]}")
        if len(self.tried.wrong) <= 3:
            self._tell(f"  WRONG {self.tried.wrong[-1]}")
        assert len(self.tried.wrong) < WRONG_MAX, self.tried.wrong

    def _progress(self, name: str, where: object) -> None:
        now = time.monotonic()
        if now - self._told_at > TELL_S:
            self._told_at = now
            self._tell(f"  {name} at {where}, {now - self._began:.0f} s: {self.tried}")


def masks(seed: int, size: int) -> list[int]:
    """What each byte of a file is changed by."""
    return random.Random(seed).choices(MASKS, k=size)


class Log:
    """A write-ahead log. All that SQLite takes from one is how many of its frames count: each is checked together with
    all before it, and of them those up to the last commit."""

    HEADER, FRAME = 32, 24 + PAGE_SIZE

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.content = (folder / WAL).read_bytes()
        self.used = self.asked()

    def frame(self, offset: int) -> int:
        """The number of the frame that an offset lies in; 0 for the log's own header."""
        return 0 if offset < self.HEADER else (offset - self.HEADER) // self.FRAME + 1

    def expected(self, offset: int) -> int:
        """How many frames count where this byte is changed: those up to the commit before it."""
        whole = self.used if self.frame(offset) > self.used else self.frame(offset) - 1
        while whole > 0 and not self._commits(whole):
            whole -= 1
        return max(whole, 0)

    def _commits(self, frame: int) -> bool:
        at = self.HEADER + (frame - 1) * self.FRAME
        return any(self.content[at + 4 : at + 8])  # the size of the database, in the last frame of a commit alone

    def flipped(self, offset: int, mask: int) -> int:
        """How many frames count by SQLite's own word with this byte changed."""
        with (self._folder / WAL).open("r+b", buffering=0) as file:
            file.seek(offset)
            file.write(bytes([self.content[offset] ^ mask]))
            try:
                return self.asked()
            finally:
                file.seek(offset)
                file.write(self.content[offset : offset + 1])

    def asked(self) -> int:
        """How many frames count by SQLite's own word: its index of the log says it once it has read."""
        with closing(sqlite3.connect(f"file:{self._folder / DB}?mode=ro", uri=True)) as conn:
            conn.execute("SELECT count(*) FROM sqlite_schema").fetchall()
            with (self._folder / f"{DB}-shm").open("rb") as index:
                return int.from_bytes(index.read(20)[16:], sys.byteorder)


class Lines:
    """The lines of a copy: all that is read of one are the records that its lines decode to, each by itself."""

    def __init__(self, content: bytes) -> None:
        self.content, self._decode = content, copying.decode
        self.lines = list(split([content]))
        self.starts = [0]
        for line in self.lines:
            self.starts.append(self.starts[-1] + len(line))

    def flipped(self, offset: int, mask: int) -> tuple[int, tuple[object, ...]]:
        """The line of an offset, and which of it and the next (0, 1) can still be read with this byte changed; "new"
        stands for a record that was never written."""
        number = bisect.bisect_right(self.starts, offset) - 1
        first, beyond = self.starts[number], self.starts[min(number + 2, len(self.lines))]
        piece = bytearray(self.content[first:beyond])
        piece[offset - first] ^= mask
        were = [self._decode(line) for line in self.lines[number : number + 2]]
        read = [record for line in split([bytes(piece)]) if (record := self._decode(line)) is not None]
        return number, tuple(were.index(record) if record in were else "new" for record in read)


def _same_words(words: str) -> str:
    """What is found, without what it is found in and what the damage made of it."""
    return re.sub(r"'[^']*'|\"[^\"]*\"|near .*|no such \w+: .*|\(.*\) - |[^ -~]|\d", "", words)


@contextmanager
def _stopping_before_salvages() -> Iterator[None]:
    def stop(path: Path, copy: Path | None, why: str, *_: object, **__: object) -> None:
        raise SalvagesError(f"{why}{' (without its copy)' if copy is None else ''}")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(starting, "salvage", stop)
        yield


class Known:
    """What pure functions said, each asked once; `checked` asks all of them once more."""

    def __init__(self, size_max: int = 50_000) -> None:
        self._size_max = size_max
        self._said: dict[tuple[str, bytes], tuple[Callable[..., Any], tuple[Any, ...], Any]] = {}

    def asked(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, remembered."""
        return partial(self._ask, function, function.__name__)

    def _ask(self, function: Callable[..., Any], name: str, *given: Any) -> Any:
        # By their bytes: numbers that are equal (1, 1.0, True) are not the same.
        key = (name, given[0] if len(given) == 1 and type(given[0]) is bytes else marshal.dumps(given, 2))
        said = self._said.get(key)
        if said is None:
            if len(self._said) >= self._size_max:
                self.checked()
                self._said.clear()
            said = self._said[key] = (function, given, function(*given))
        return said[2]

    def checked(self) -> None:
        """Nobody changed an answer that was given."""
        for function, given, said in self._said.values():
            assert function(*given) == said


@contextmanager
def remembered() -> Iterator[None]:
    """Lines are decoded and digests are computed once for each thing they are asked of."""
    known = Known()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(copying, "decode", known.asked(copying.decode))
        patch.setattr(chain, "digest", known.asked(chain.digest))
        patch.setattr(chain, "hashed", known.asked(chain.hashed))
        yield
    known.checked()
