"""Problem documents (RFC 9457): how every refusal looks on the sockets.

    {"type": "about:blank", "title": …, "status": …, "code": …, "detail": …, "remedy": …}

`code` is a stable word for scripts, `detail` says what cannot be done, `remedy` what mends it.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from daemon.errors import InvalidInputError, NotFoundError, PunchdError, RefusedError, StorageError
from daemon.reasons import REASONS

MEDIA_TYPE = "application/problem+json"


@dataclass(frozen=True, slots=True)
class Problem:
    """One refusal. `headers` go with the answer (`Allow` of a 405)."""

    status: int
    code: str
    detail: str
    remedy: str
    headers: dict[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, Any]:
        """The document as it is sent."""
        return {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "code": self.code,
            "detail": self.detail,
            "remedy": self.remedy,
        }


class ProblemError(Exception):
    """A request that is refused by the sockets themselves."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.detail)
        self.problem = problem


def malformed(detail: str, remedy: str) -> ProblemError:
    """400: the request cannot be read at all."""
    return ProblemError(Problem(400, "malformed", detail, remedy))


def invalid(detail: str, remedy: str) -> ProblemError:
    """422: the request can be read, but something in it cannot be used."""
    return ProblemError(Problem(422, "invalid_input", detail, remedy))


def problem_of(error: PunchdError | sqlite3.Error) -> Problem:
    """How what another part raised looks on the sockets."""
    if isinstance(error, sqlite3.Error):
        return Problem(
            503,
            "storage",
            f"Cannot use the database: {error}.",
            "Free or replace the disk, then try again; nothing was changed.",
        )
    return Problem(_status_of(error), error.code, error.message, _remedy_of(error))


def _status_of(error: PunchdError) -> int:
    if isinstance(error, NotFoundError):
        return 404
    if isinstance(error, InvalidInputError):
        return 422
    if isinstance(error, RefusedError):
        return 409
    return 503 if isinstance(error, StorageError) else 500


def _remedy_of(error: PunchdError) -> str:
    """What the message ends with; by convention that is the remedy (daemon/errors.py)."""
    if error.code in REASONS:
        return REASONS[error.code].remedy
    if "\n" in error.message:
        return "Mend the lines that are named, then try again."
    ends = [error.message.rfind(mark) + len(mark) for mark in ("; ", ". ") if mark in error.message]
    last = error.message[max(ends) :] if ends else ""
    if last:
        return last[0].upper() + last[1:]
    return "See what exists: punchctl employees list, punchctl badges list, punchctl punches list."
