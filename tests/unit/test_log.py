"""The log: one line an event, bounded, printable, and never a secret."""

from __future__ import annotations

import io
import json
import logging

import pytest
import structlog

from daemon import log


@pytest.fixture
def lines():
    """Configure the log on a buffer; what it wrote so far, line by line. Everything is put back afterwards."""
    root, stream, secrets = logging.getLogger(), io.StringIO(), log.Secrets()
    before = (root.level, list(root.handlers))

    def _lines(**options) -> tuple[log.Secrets, io.StringIO]:
        log.configure(secrets, stream=stream, **options)
        return secrets, stream

    yield _lines
    structlog.reset_defaults()
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    for name in ("httpx", "httpcore", "aiohttp", "aiosqlite", "asyncio"):
        logging.getLogger(name).setLevel(logging.NOTSET)


def test_key_value_lines_where_no_terminal_is(lines):
    """An event is one line of key=value, the event first."""
    _, stream = lines()
    structlog.get_logger().info("punch.committed", user_id="7", direction="clock_in", late=False)
    assert stream.getvalue() == "event=punch.committed level=info user_id=7 direction=clock_in late=false\n"


def test_json_lines(lines):
    """With style json each line is one document."""
    _, stream = lines(style="json")
    structlog.get_logger().warning("reader.lost", reader="front")
    document = json.loads(stream.getvalue())
    assert (document["event"], document["level"], document["reader"]) == ("reader.lost", "warning", "front")


def test_a_secret_is_never_written(lines):
    """Fields, nested data, tracebacks and the libraries' own lines are freed of registered secrets."""
    secrets, stream = lines()
    secrets.add("k3y-k3y-k3y")
    logger = structlog.get_logger()
    logger.info("key.k3y-k3y-k3y", a="x k3y-k3y-k3y y", b={"c": ["k3y-k3y-k3y"]})
    try:
        raise ValueError("k3y-k3y-k3y")
    except ValueError:
        logger.exception("delivery.failed")
    logging.getLogger("aiohttp.server").error("header %s", "k3y-k3y-k3y")
    logger.info("cut", text="-" * (log.FIELD_MAX - 4) + "k3y-k3y-k3y")
    secrets.add('qu"o\\te-\\x')
    logger.info("escaped", text='qu"o\\te-\\x')
    assert "k3y" not in stream.getvalue()
    assert "te-" not in stream.getvalue()
    assert stream.getvalue().count("[redacted]") >= 5
    assert "Traceback" in stream.getvalue()


def test_fields_are_bounded_and_cannot_forge_lines(lines):
    """A long or malicious field stays one short line; a traceback keeps its end."""
    _, stream = lines()
    structlog.get_logger().info("tap.refused", badge="x\n<0>event=forged\x1b[2J", body="y" * 10_000)
    written = stream.getvalue()
    assert written.count("\n") == 1
    assert "\x1b" not in written
    assert "(10000 characters)" in written
    assert len(written) < 1000
    structlog.get_logger().info("a.b", exception="head" + "z" * 10_000 + "tail")
    assert "tail" in stream.getvalue()
    assert "head" not in stream.getvalue()


def test_libraries_are_quiet(lines):
    """A request a line is not news; a library's warning is."""
    _, stream = lines(level="debug")
    for name in ("httpx", "httpcore.connection", "aiohttp.access", "asyncio"):
        logging.getLogger(name).info("chatter")
    logging.getLogger("httpx").warning("trouble")
    assert "chatter" not in stream.getvalue()
    assert "trouble" in stream.getvalue()


def test_the_level_comes_from_option_or_environment(lines, monkeypatch):
    """The option wins over $PUNCHD_LOG_LEVEL, which wins over info; an unknown word means info."""
    monkeypatch.setenv("PUNCHD_LOG_LEVEL", "warning")
    _, stream = lines()
    structlog.get_logger().info("first")
    lines(level="debug")
    structlog.get_logger().debug("second")
    lines(level="loud")
    structlog.get_logger().debug("third")
    structlog.get_logger().info("fourth")
    assert [line.split()[0] for line in stream.getvalue().splitlines()] == ["event=second", "event=fourth"]


def test_the_journal_gets_priorities(lines, tmp_path, monkeypatch):
    """On a stream that is the journal's, each line begins with syslog's number."""
    with (tmp_path / "journal").open("w+") as stream:
        status = (tmp_path / "journal").stat()
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        log.configure(log.Secrets(), stream=stream)
        structlog.get_logger().error("database.damaged")
        stream.seek(0)
        assert stream.read().startswith("<3>event=database.damaged")
    log.configure(log.Secrets(), stream=io.StringIO())
