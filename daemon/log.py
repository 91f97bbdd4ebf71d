"""The log: dotted past-tense events with data as fields, to stderr, for the journal or a terminal.

`configure()` is called once by a command's `main`; everything else says `structlog.get_logger()`. Whatever passes
(our events, and the libraries' own) is cut to length, made printable, and freed of registered secrets.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterable, Mapping, MutableMapping
from typing import Any, Final, TextIO

import structlog

#: One field of a line; a service's answer or a forged badge must not flood the journal.
FIELD_MAX = 500
#: A traceback is worth more, its end above all.
TRACEBACK_MAX = 8000
#: Shorter texts are no secrets, and replacing them would eat the log.
_SECRET_MIN = 6
#: These tell of every request or connection; only their warnings are ours.
_QUIET: Final = ("httpx", "httpcore", "aiohttp", "aiosqlite", "asyncio")
#: syslog's numbers, which journald reads from the beginning of a line.
_PRIORITIES: Final = {"critical": 2, "error": 3, "warning": 4, "info": 6, "debug": 7}

Event = MutableMapping[str, Any]


class Secrets:
    """What must never be logged. Use: `add` each secret as soon as it is known."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def add(self, *secrets: str) -> None:
        """Never log these texts again, wherever they turn up."""
        self._known.update(secret for secret in secrets if len(secret) >= _SECRET_MIN)

    def redact(self, text: str) -> str:
        """The text without any secret."""
        for secret in self._known:
            if secret in text:
                text = text.replace(secret, "[redacted]")
        return text


def configure(secrets: Secrets, *, level: str | None = None, style: str = "auto", stream: TextIO | None = None) -> None:
    """Set the process's log up: `level` (default: $PUNCHD_LOG_LEVEL, info), `style` auto, text or json.

    "auto" is made for people on a terminal and key=value elsewhere. Safe to call again.
    """
    stream = sys.stderr if stream is None else stream
    level = (level or os.environ.get("PUNCHD_LOG_LEVEL") or "info").upper()
    chain: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.format_exc_info,
        _Cleaner(secrets),
    ]
    structlog.configure(
        processors=[*chain, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping().get(level, logging.INFO)),
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(_Formatter(chain, style, stream))
    root = logging.getLogger()
    for old in [h for h in root.handlers if isinstance(h.formatter, _Formatter)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.getLevelNamesMapping().get(level, logging.INFO))
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)


class _Formatter(structlog.stdlib.ProcessorFormatter):
    """Renders our events and the libraries' lines alike."""

    def __init__(self, chain: Iterable[Any], style: str, stream: TextIO) -> None:
        super().__init__(
            foreign_pre_chain=[*chain],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *_renderers(style, stream)],
        )
        self._journal = to_journal(stream, os.environ)

    def format(self, record: logging.LogRecord) -> str:
        """One line (a terminal also gets tracebacks on lines of their own)."""
        text = super().format(record)
        return f"<{_PRIORITIES.get(record.levelname.lower(), 6)}>{text}" if self._journal else text


def _renderers(style: str, stream: TextIO) -> list[Any]:
    if style == "json":
        return [structlog.processors.TimeStamper(fmt="iso", utc=True), structlog.processors.JSONRenderer(default=str)]
    if style == "auto" and stream.isatty():
        plain = structlog.dev.plain_traceback
        return [structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
                structlog.dev.ConsoleRenderer(colors=True, exception_formatter=plain)]  # fmt: skip
    # The journal stamps each line itself.
    return [structlog.processors.LogfmtRenderer(key_order=["event", "level"], drop_missing=True, bool_as_flag=False)]


def to_journal(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """Whether a stream goes straight to systemd's journal ($JOURNAL_STREAM holds its device and inode)."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return environment.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


class _Cleaner:
    """Frees every field of secrets, cuts it to length, and escapes what could forge a line or steer a terminal."""

    def __init__(self, secrets: Secrets) -> None:
        self._secrets = secrets

    def __call__(self, logger: object, name: str, event: Event) -> Event:
        for key, value in event.items():
            if isinstance(value, bool | int | float) or value is None or key.startswith("_"):
                continue
            # Secrets first: a cut would leave half of one, and escapes would hide it.
            text = self._secrets.redact(value if isinstance(value, str) else str(value))
            event[key] = _last(text) if key == "exception" else _printable(text)
        return event


def _last(traceback: str) -> str:
    return traceback if len(traceback) <= TRACEBACK_MAX else "…" + traceback[-TRACEBACK_MAX:]


def _printable(text: str) -> str:
    if len(text) > FIELD_MAX:
        text = f"{text[:FIELD_MAX]}… ({len(text)} characters)"
    return text if text.isprintable() else "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)
