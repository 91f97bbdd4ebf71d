"""The two sockets as real Unix sockets, over the real database, intake and directory."""

from __future__ import annotations

import asyncio
import grp
import json
import os
import shutil
import socket
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import structlog

from daemon.control.api_reading import PAGE, read_pages
from daemon.control.call import Answer, Call, Document
from daemon.control.routes import BODY_MAX, ROUTES, Access, Route
from daemon.control.server import Sockets
from daemon.errors import AlreadyRunningError, ConfigError, RefusedError, SocketGoneError
from daemon.intake.roster import BYTES_MAX
from daemon.model import Direction, PunchState, Source
from daemon.queue import queue
from tests.support.kiosk import Stage, open_kiosk, until

BADGE = "04A2B3C4D5E680"
#: RFC 9457; spelt out, because scripts tell a refusal by it.
MEDIA_TYPE = "application/problem+json"
#: Ends a test that would otherwise wait for ever for what does not come; says nothing about speed.
PATIENCE_S = 60


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    async with open_kiosk() as stage:
        yield stage


@asynccontextmanager
async def session(path: Path) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession("http://punchd", connector=aiohttp.UnixConnector(os.fspath(path))) as session:
        yield session


async def ask(path: Path, method: str, target: str, body: Any = None, **more: Any) -> tuple[int, Any]:
    """One request; its status and JSON. Bytes go as they are, anything else as JSON."""
    data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    async with session(path) as http, http.request(method, target, data=data, **more) as response:
        return response.status, json.loads(await response.read())


async def employ(stage: Stage) -> None:
    """Ada (7) has BADGE and clocks in; a badge that nobody owns was tapped."""
    assert (await ask(stage.control, "POST", "/v1/employees", {"user_id": "7", "name": "Ada", "badge": BADGE}))[
        0
    ] == 201
    assert (await ask(stage.control, "POST", "/v1/taps", {"reader": "front", "badge": BADGE}))[1][
        "result"
    ] == "accepted"
    await ask(stage.control, "POST", "/v1/taps", {"reader": "front", "badge": "99887766554433"})


# --- the files


@pytest.mark.parametrize("umask", [0o000, 0o077, 0o777])
async def test_modes_are_exact_whatever_the_umask(umask: int) -> None:
    """status.sock is 0660 and control.sock 0600, neither more nor less."""
    before = os.umask(umask)
    try:
        os.umask(0o022 if umask == 0o777 else umask)  # a directory nobody may enter would prove nothing
        async with open_kiosk() as stage:
            assert stat.S_IMODE(stage.status.stat().st_mode) == 0o660
            assert stat.S_IMODE(stage.control.stat().st_mode) == 0o600
    finally:
        os.umask(before)


async def test_they_are_never_open_to_others_not_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    """What gets the name that people connect to has its mode by then: nobody slips in before it is closed."""
    rename, modes = Path.rename, {}

    def renamed(self: Path, target: Path) -> Path:
        modes[target.name] = stat.S_IMODE(self.stat().st_mode)
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", renamed)
    before = os.umask(0)
    try:
        async with open_kiosk():
            assert modes == {"control.sock": 0o600, "status.sock": 0o660}
    finally:
        os.umask(before)


async def test_an_admin_group_opens_control_to_that_group_alone() -> None:
    """With a group, control.sock is 0660 and the group's; an unknown group is a configuration error, not a daemon."""
    own = grp.getgrgid(os.getgid()).gr_name
    async with open_kiosk(admin_group=own) as stage:
        assert stat.S_IMODE(stage.control.stat().st_mode) == 0o660
        assert stage.control.stat().st_gid == os.getgid()
    with pytest.raises(ConfigError, match="no such group"):
        async with open_kiosk(admin_group="nobody-has-this-group"):
            pass


async def test_the_file_a_dead_process_left_is_replaced(stage: Stage) -> None:
    """After a kill the next start needs no cleaning up."""
    await stage.sockets.stop()
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(os.fspath(stage.control))
    again = Sockets(stage.kiosk)
    await again.start()
    assert (await ask(stage.control, "GET", "/v1/status"))[0] == 200
    await again.stop()


async def test_a_live_daemon_keeps_its_sockets(stage: Stage) -> None:
    """A second one on the same directory is refused and leaves the first as it is."""
    with pytest.raises(AlreadyRunningError):
        await Sockets(stage.kiosk).start()
    assert (await ask(stage.control, "GET", "/v1/status"))[0] == 200
    assert (await ask(stage.status, "GET", "/v1/status"))[0] == 200


async def test_a_file_that_is_no_socket_is_never_overwritten(stage: Stage) -> None:
    """Something else at the path is somebody's: refused, and still there afterwards."""
    await stage.sockets.stop()
    stage.status.write_text("mine")
    with pytest.raises(ConfigError, match="no socket"):
        await Sockets(stage.kiosk).start()
    assert stage.status.read_text() == "mine"
    assert not stage.control.exists()


async def test_a_path_too_long_for_a_socket_is_told_at_start(stage: Stage) -> None:
    """Linux would cut or refuse it with a bare OSError; ours names the key to change."""
    config = replace(stage.kiosk.config, kiosk=replace(stage.kiosk.config.kiosk, runtime_dir=Path("/tmp/" + "x" * 100)))
    with pytest.raises(ConfigError, match="runtime_dir"):
        await Sockets(replace(stage.kiosk, config=config)).start()


@pytest.mark.parametrize("gone", ["control.sock", "status.sock", "both and their directory"])
async def test_a_socket_whose_file_was_taken_away_is_made_anew(
    stage: Stage, gone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Something cleans up below /run: the part fails, which is told, and run again it serves and looks as before."""
    monkeypatch.setattr("daemon.control.server.LOOK_S", 0.01)
    directory = stage.control.parent
    if gone.startswith("both"):
        shutil.rmtree(directory)
    else:
        (directory / gone).unlink()
    with pytest.raises(SocketGoneError):  # it looks before it waits
        await stage.sockets._watch()
    running = asyncio.ensure_future(stage.sockets.run())
    await until(lambda: stage.control.exists() and stage.status.exists())
    for path in (stage.control, stage.status):
        assert (await ask(path, "GET", "/v1/status"))[0] == 200
    assert stat.S_IMODE(stage.control.stat().st_mode) == 0o600
    assert not running.done()
    stage.status.unlink()
    with pytest.raises(SocketGoneError):  # it goes on looking
        async with asyncio.timeout(60):
            await running


async def test_stopping_removes_both_files(stage: Stage) -> None:
    """Nothing is left for the next one to wonder about."""
    await stage.sockets.stop()
    assert list(stage.control.parent.iterdir()) == []


# --- who may do what


@pytest.mark.parametrize(
    "route", [route for route in ROUTES if route.access is Access.ACT], ids=lambda r: f"{r.method} {r.path}"
)
async def test_nothing_acts_through_the_status_socket(stage: Stage, route: Route) -> None:
    """Every acting route is refused there with 403 and a remedy, and nothing has happened."""
    target = route.path.replace("{id}", "7").replace("{badge}", BADGE)
    status, problem = await ask(stage.status, route.method, target, {"user_id": "7", "name": "Ada"})
    assert (status, problem["code"]) == (403, "read_only")
    assert str(stage.control) in problem["remedy"]
    assert await stage.journal() == []
    assert stage.delivery.asked == []


@pytest.mark.parametrize("route", [route for route in ROUTES if route.access is Access.READ], ids=lambda r: r.path)
async def test_the_status_socket_never_shows_a_badge(stage: Stage, route: Route) -> None:
    """Every readable route, the live one included, masks badges there and shows them on control.sock."""
    await employ(stage)
    punch_id = (await ask(stage.control, "GET", "/v1/punches"))[1][0]["id"]
    await stage.delivery.review(punch_id, "not_assigned")
    target = route.path.replace("{id}", punch_id)
    shown = {}
    for path in (stage.status, stage.control):
        async with session(path) as http, http.get(target) as response:
            assert response.status == 200
            if response.content_type == "text/event-stream":
                assert await response.content.readline() == b": watching\n"
                stage.kiosk.events.publish("badge.assigned", badge=BADGE)
                shown[path] = "".join([(await response.content.readline()).decode() for _ in range(3)])
            else:
                shown[path] = await response.text()
    assert BADGE not in shown[stage.status]
    assert "99887766554433" not in shown[stage.status]
    if route.path not in (
        "/v1/status",
        "/v1/present",
        "/v1/readers",
        "/v1/export",
        "/v1/openapi.json",
        "/metrics",
        "/v1/verify",
    ):
        assert BADGE in shown[stage.control] or "99887766554433" in shown[stage.control]


async def test_the_peers_uid_is_journalled() -> None:
    """Acting requests name who asked as the kernel knows them, not as they say: uid 65534 where we may become it."""
    uid = 65534 if os.getuid() == 0 else os.getuid()
    group = grp.getgrgid(65534 if os.getuid() == 0 else os.getgid()).gr_name
    async with open_kiosk(admin_group=group) as stage:
        stage.control.parent.parent.chmod(0o755)
        for target, body in (
            ("/v1/employees", {"user_id": "7", "name": "Ada"}),
            ("/v1/badges", {"badge": BADGE, "user_id": "7"}),
            ("/v1/taps", {"badge": BADGE, "reader": "front"}),
            ("/v1/sync/now", {}),
            ("/v1/sync/pause", {}),
        ):
            become = {"user": uid, "group": 65534, "extra_groups": []} if os.getuid() == 0 else {}
            assert (await curl(stage.control, target, "-d", json.dumps(body), **become))[0] in (200, 201)
        acted = {action: by for by, action in await stage.journal()}
        assert acted["employee.added"] == f"uid:{uid}"
        assert acted["badge.assigned"] == f"uid:{uid}"
        assert acted["tap.simulated"] == f"uid:{uid}"
        assert acted["sync.now"] == f"uid:{uid}"
        assert ("pause", f"uid:{uid}") in stage.delivery.asked


# --- curl


async def curl(path: Path, target: str, *options: str, **more: Any) -> tuple[int, Any]:
    """What curl gets: the status and the JSON."""
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed (apt-get install curl)")
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "-w", "\n%{http_code}", "--unix-socket", os.fspath(path), f"http://punchd{target}", *options,
        stdout=asyncio.subprocess.PIPE, **more,
    )  # fmt: skip
    out, _ = await process.communicate()
    body, _, status = out.decode().rpartition("\n")
    return int(status), json.loads(body)


async def test_curl_is_client_enough(stage: Stage) -> None:
    """The contract's routes in the order a kiosk is set up, with curl's own defaults and nothing else."""
    csv = "user_id,name,badge,job_id\n7,Ada,04A2B3C4D5E680,\n8,Grace,,\n"
    imported = await curl(stage.control, "/v1/employees/import", "-H", "Content-Type: text/csv", "--data-binary", csv)
    assert imported == (200, {"added": 2, "changed": 0, "unchanged": 0, "badges": 1, "punches": 0})
    status, answer = await curl(stage.control, "/v1/taps", "-d", '{"badge": "04A2B3C4D5E680", "reader": "front"}')
    assert (status, answer["result"], answer["punch"]["direction"]) == (200, "accepted", "clock_in")
    assert [one["name"] for one in (await curl(stage.status, "/v1/present"))[1]] == ["Ada"]
    status, punches = await curl(
        stage.status, "/v1/punches?state=pending,held&employee=7&since=2026-11-21T08:00:00+00:00"
    )
    assert [punch["id"] for punch in punches] == [answer["punch"]["id"]]
    assert (await curl(stage.control, "/v1/employees/8", "-X", "DELETE"))[1]["name"] == "Grace"
    assert (await curl(stage.control, "/v1/badges/04A2B3C4D5E680/block", "-X", "POST"))[1]["state"] == "blocked"
    assert (await curl(stage.control, "/v1/badges/04A2B3C4D5E680", "-X", "DELETE"))[0] == 200
    assert (await curl(stage.control, "/v1/sync/pause", "-X", "POST"))[1]["state"] == "paused"
    status, shown = await curl(stage.status, "/v1/status")
    assert (shown["state"], shown["queue"]["pending"], shown["version"]) == ("paused", 1, "9.9.9")
    assert shown["clock"] == {"trusted": True, "source": "kernel", "error_s": 0.5, "doubt_s": None}


async def test_json_imports_like_csv(stage: Stage) -> None:
    """Rows as JSON, and a CSV inside JSON, are the same import."""
    headers = {"Content-Type": "application/json"}
    rows = [{"user_id": "7", "name": 'Ada, "the first"', "badge": BADGE}]
    assert (await ask(stage.control, "POST", "/v1/employees/import", rows, headers=headers))[1]["added"] == 1
    csv = {"csv": 'user_id,name,badge,job_id\n7,"Ada, ""the first""",04A2B3C4D5E680,\n'}
    assert (await ask(stage.control, "POST", "/v1/employees/import", csv, headers=headers))[1]["unchanged"] == 1


# --- what is refused, and how


async def test_every_refusal_is_a_problem_document(stage: Stage) -> None:
    """RFC 9457 with code, detail and remedy, under its own media type, for each kind of refusal."""
    for method, target, status, code in (
        ("GET", "/v2", 404, "no_such_route"),
        ("GET", "/v1/punches/", 404, "no_such_route"),
        ("GET", "/metrics/", 404, "no_such_route"),
        ("GET", "/v1/punches/NOPE", 404, "not_found"),
        ("GET", "/v1/punches/%ff%00", 422, "invalid_input"),
        ("GET", "/v1/punches?limit=0", 422, "invalid_input"),
        ("GET", "/v1/punches?limit=99999999999999999999", 422, "invalid_input"),
        ("GET", "/v1/punches?since=2026-03-01T08:00:00", 422, "invalid_input"),
        ("GET", "/v1/punches?state=lost", 422, "invalid_input"),
        ("GET", "/v1/punches?stat=held", 422, "invalid_input"),
        ("GET", "/v1/punches?state=held&state=held", 422, "invalid_input"),
        ("PUT", "/v1/punches", 405, "wrong_method"),
        ("PATCH", "/v1/punches", 405, "wrong_method"),
        ("POST", "/v1/sync/never", 404, "no_such_route"),
        ("POST", "/v1/review/NOPE/retry", 404, "not_found"),
        ("GET", "/v1/review/NOPE?read=later", 422, "invalid_input"),
        ("DELETE", "/v1/employees/NOPE", 404, "not_found"),
        ("DELETE", f"/v1/badges/{BADGE}", 404, "not_found"),
    ):
        async with session(stage.control) as http, http.request(method, target) as response:
            problem = json.loads(await response.read())
            assert (response.status, problem["code"], response.content_type) == (status, code, MEDIA_TYPE), target
            assert problem["status"] == status
            assert problem["title"]
            assert problem["detail"]
            assert problem["remedy"]
            assert (response.headers.get("Allow") == "GET") is (status == 405)


NASTY = (
    b"{", b"\xff\xfe\x00", b"[]", b"null", b'"text"', b"7", b"[" * 100_00, b'{"a":' * 5_000, b"NaN", b'{"user_id": 7}',
    b'{"user_id": "7", "name": ["Ada"]}',
    b'{"badge": "\\ud800", "user_id": "7"}',
    b'{"badge": "a\\u0000b", "user_id": "7"}',
    b'{"badge": "04A2B3C4", "reader": "front", "at": NaN}', b'{"badge": "04A2B3C4", "reader": "front", "at": 1e999}',
    b'{"badge": "04A2B3C4", "reader": "front", "at": true}', b'{"badge": "04A2B3C4", "reader": "front", "at": "noon"}',
    b'{"badge": "04A2B3C4", "reader": "front", "at": ' + b"9" * 5000 + b"}", b'{"reason": {}}',
    b'{"reason": "\\ud800"}',
    b'{"user_id": "' + b"7" * 900 + b'"}',
    b'{"user_id": "7", "timeout_s": -1}', b'{"user_id": "7", "timeout_s": 1e9}', b'{"unknown": 1}',
)  # fmt: skip


@pytest.mark.parametrize(
    "route",
    [route for route in ROUTES if route.method == "POST" and not route.path.endswith(("import", "block"))],
    ids=lambda r: r.path,
)
async def test_no_body_makes_the_daemon_fail(stage: Stage, route: Route) -> None:
    """Malformed JSON, garbage bytes and wrong types are the caller's mistake on every route, never a 500."""
    await stage.kiosk.directory.add("7", "Ada", by="test")
    before = await stage.journal()
    for body in NASTY:
        status, problem = await ask(stage.control, "POST", route.path.replace("{id}", "X"), body)
        assert status in (400, 422), (body[:60], status, problem)
        assert problem["remedy"]
    assert await stage.journal() == before


@pytest.mark.parametrize("kind", ["text/csv", "application/json"])
async def test_no_import_makes_the_daemon_fail(stage: Stage, kind: str) -> None:
    """The same for the import, in both of its forms: refused, and nobody was added."""
    for body in (*NASTY, b'[{"user_id": 7}]', b"[7]", b'{"csv": 7}', b'{"csv": "\\ud800"}', b"user_id,name\n\x00,\xff"):
        status, problem = await ask(stage.control, "POST", "/v1/employees/import", body, headers={"Content-Type": kind})
        assert (status in (400, 422), "added" in problem) == (True, False) or problem.get("added") == 0, (
            body[:60],
            problem,
        )
    assert await stage.kiosk.directory.employees() == []


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)),
        b"hello\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET /v1/status HTTP/9.9\r\n\r\n",
        b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\nHost: x\r\nX: " + b"y" * 100_000 + b"\r\n\r\n",
        b"POST /v1/taps HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/taps HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\nnope",
        b"\x00" * 1000,
    ],
    ids=range(10),
)
async def test_bytes_that_are_no_request_are_answered_and_forgotten(stage: Stage, garbage: bytes) -> None:
    """Whatever arrives, it gets a 4xx problem document, and the next caller is served."""
    reader, writer = await asyncio.open_unix_connection(os.fspath(stage.control))
    writer.write(garbage)
    answer = await reader.read()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith((b"HTTP/1.1 4", b"HTTP/1.0 4")), answer[:200]
    assert MEDIA_TYPE.encode() in head
    assert json.loads(body.split(b"\n")[0])["remedy"]
    assert (await ask(stage.control, "GET", "/v1/status"))[0] == 200


async def test_a_body_larger_than_its_route_takes_is_413(stage: Stage) -> None:
    """Both with a length told before and in chunks; the import takes more than the others."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(BODY_MAX // 1024 + 1):
            yield b"x" * 1024

    for body in (b"x" * (BODY_MAX + 1), chunks()):
        async with session(stage.control) as http, http.post("/v1/taps", data=body) as response:
            assert (response.status, json.loads(await response.read())["code"]) == (413, "too_large")
    status, problem = await ask(stage.control, "POST", "/v1/employees/import", b"x" * (BODY_MAX + 1))
    assert (status, problem["code"]) == (422, "invalid_input")


async def test_an_import_says_itself_what_is_too_large(stage: Stage) -> None:
    """Up to its own limit a file is taken; beyond it, the import's words say by how much, and what to do."""

    async def told(size: int) -> tuple[int, str]:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"user_id,name,badge,job_id\n"
            for _ in range(size // 64_000):
                yield b"#" * 64_000

        async with session(stage.control) as http, http.post("/v1/employees/import", data=pieces()) as response:
            return response.status, await response.text()

    status, words = await told(BYTES_MAX - 64_000)
    assert (status, "split it" in words) == (422, False), "its rows are what is wrong"
    status, words = await told(BYTES_MAX + 128_000)
    assert status == 422
    assert f"more than {BYTES_MAX:,}; split it" in words


async def test_our_own_mistake_is_a_500_without_internals_and_is_logged() -> None:
    """The caller learns that we failed and where to look, nothing else; the log has the traceback."""

    async def api_broken(call: Call) -> Answer:
        raise RuntimeError("the key is hunter2")

    with structlog.testing.capture_logs() as logs:
        async with (
            open_kiosk(routes=(Route("GET", "/v1/status", api_broken),)) as stage,
            session(stage.status) as http,
            http.get("/v1/status") as response,
        ):
            text = await response.text()
            assert (response.status, response.content_type) == (500, MEDIA_TYPE)
    assert json.loads(text)["code"] == "internal"
    assert "hunter2" not in text
    failed = [log for log in logs if log["event"] == "control.failed"]
    assert [str(log["exc_info"]) for log in failed] == ["the key is hunter2"]


async def test_a_database_that_cannot_be_read_is_503(stage: Stage) -> None:
    """A broken disk is told as such; the sockets go on answering what needs no disk."""
    await stage.kiosk.database.close()
    status, problem = await ask(stage.status, "GET", "/v1/punches")
    assert (status, problem["code"]) == (503, "storage")
    assert (await ask(stage.status, "GET", "/v1/readers"))[0] == 200


# --- lists and decisions


async def test_a_long_list_is_the_same_as_one_read(stage: Stage) -> None:
    """Pages neither lose nor repeat a punch, also when more than a page lies in one instant; limits hold."""
    await stage.kiosk.directory.add("7", "Ada", by="test")
    evidence = stage.clock.now()
    times = [float(i // 7) for i in range(PAGE)] + [5000.0] * (2 * PAGE + 3) + [6000.0 + i for i in range(PAGE)]

    def insert(conn: Any) -> None:
        for i, at in enumerate(times):
            new = queue.NewPunch(
                f"P{i:05}",
                None,
                "7",
                Direction.CLOCK_IN,
                at,
                0.5,
                True,
                at,
                evidence,
                None,
                None,
                Source.DECISION,
                None,
            )
            queue.insert_punch(conn, new, at)

    await stage.kiosk.database.write(insert)
    whole = [punch.id for punch in await stage.kiosk.database.read(lambda conn: queue.list_punches(conn))]
    assert len(whole) == len(times)
    assert [punch["id"] for punch in (await ask(stage.status, "GET", "/v1/punches"))[1]] == whole
    for limit in (1, PAGE - 1, PAGE, PAGE + 1, 2 * PAGE, len(whole), len(whole) + 1):
        async with asyncio.timeout(PATIENCE_S):
            pages = [page async for page in read_pages(stage.kiosk, limit=limit)]
        assert [punch.id for page in pages for punch in page] == whole[:limit]


async def test_a_review_is_shown_with_its_history_and_decided(stage: Stage) -> None:
    """retry and discard answer the punch as it then stands; the history tells who decided; what is no review is 409."""
    await employ(stage)
    punch_id = (await ask(stage.status, "GET", "/v1/punches"))[1][0]["id"]
    assert (await ask(stage.status, "GET", f"/v1/review/{punch_id}"))[1]["code"] == "not_in_review"
    await stage.delivery.review(punch_id, "not_assigned")
    assert [one["remedy"] for one in (await ask(stage.status, "GET", "/v1/review"))[1]] == [
        "Assign the person to the time clock in Connecteam, then retry."
    ]
    assert (await ask(stage.status, "GET", f"/v1/review/{punch_id}?read=now"))[1]["code"] == "read_only"
    told = (await ask(stage.status, "GET", f"/v1/review/{punch_id}"))[1]
    assert told["timesheet"] == {"fresh": False, "read_at": None, "age_s": None, "why": None, "shifts": []}
    assert [one["id"] for one in told["tapped"]] == [punch_id]
    status, punch = await ask(stage.control, "POST", f"/v1/review/{punch_id}/retry")
    assert (status, punch["state"]) == (200, "pending")
    await stage.delivery.review(punch_id, "not_assigned")
    assert (await ask(stage.control, "POST", f"/v1/review/{punch_id}/discard", {}))[0] == 422
    status, punch = await ask(stage.control, "POST", f"/v1/review/{punch_id}/discard", {"reason": "tapped twice"})
    assert (status, punch["state"]) == (200, "discarded")
    history = (await ask(stage.status, "GET", f"/v1/punches/{punch_id}"))[1]["history"]
    assert [line["by"] for line in history["journal"] if line["action"] == "punch.discarded"] == [f"uid:{os.getuid()}"]


async def test_who_is_in_leaves_when_they_leave_or_when_their_shift_cannot_be_real(stage: Stage) -> None:
    """A clock-out, or max_shift_hours without one, takes a person off the list."""
    await employ(stage)
    await stage.kiosk.directory.add("8", "Grace", badge="11223344556677", by="test")
    stage.clock.advance(60)
    await stage.kiosk.readers.tap("front", "11223344556677", None)
    present = (await ask(stage.status, "GET", "/v1/present"))[1]
    assert [(one["name"], one["since"]) for one in present] == [
        ("Ada", "2026-11-21T08:00:00Z"),
        ("Grace", "2026-11-21T08:01:00Z"),
    ]
    stage.clock.advance(3600)
    await stage.kiosk.readers.tap("front", BADGE, None)
    assert [one["name"] for one in (await ask(stage.status, "GET", "/v1/present"))[1]] == ["Grace"]
    stage.clock.advance(14 * 3600)
    assert (await ask(stage.status, "GET", "/v1/present"))[1] == []


async def test_a_badge_may_hold_a_slash(stage: Stage) -> None:
    """A segment is decoded after the path was split, so printed badges of any text can be named."""
    badge = "A/B 1%2"
    async with (
        session(stage.control) as http,
        http.delete("/v1/badges/A%2FB%201%252", raise_for_status=False) as response,
    ):
        assert badge.upper().split()[0] in json.loads(await response.read())["detail"]


# --- events


async def next_lines(response: aiohttp.ClientResponse, count: int) -> list[bytes]:
    return [(await response.content.readline()).rstrip() for _ in range(count)]


async def test_events_arrive_as_they_happen_with_heartbeats_between() -> None:
    """The first comment says that the watcher is heard; silence is filled; an event is one JSON document."""
    async with (
        open_kiosk(heartbeat_s=0.01) as stage,
        session(stage.status) as http,
        http.get("/v1/events") as response,
    ):
        assert response.content_type == "text/event-stream"
        assert await next_lines(response, 2) == [b": watching", b""]
        assert await next_lines(response, 2) == [b": still here", b""]
        stage.kiosk.events.publish("reader.lost", reader="front")
        while (line := await response.content.readline()) != b"event: reader.lost\n":
            assert line in (b": still here\n", b"\n")
        data = json.loads((await response.content.readline()).removeprefix(b"data: "))
        assert data == {"event": "reader.lost", "at": "2026-11-21T08:00:00Z", "data": {"reader": "front"}}


async def test_a_slow_watcher_loses_the_oldest_and_is_told(stage: Stage) -> None:
    """The backlog is bounded: more events at once than it holds drop the oldest and say so."""
    async with session(stage.status) as http, http.get("/v1/events") as response:
        await next_lines(response, 2)
        for i in range(5000):
            stage.kiosk.events.publish("tick", i=i)
        names, last = set(), b""
        while b'"i": 4999' not in last:
            last = await response.content.readline()
            names.add(last)
        assert b"event: events.lost\n" in names
        assert not any(b'"i": 0}' in line for line in names)


async def test_watchers_are_counted(stage: Stage) -> None:
    """Each costs memory: the 33rd is refused, and a place is free again when one leaves."""
    async with session(stage.status) as http:
        watching = [await http.get("/v1/events") for _ in range(32)]
        async with asyncio.timeout(PATIENCE_S):
            assert (await ask(stage.status, "GET", "/v1/events"))[1]["code"] == "too_many_watchers"
            watching[0].close()
            while (await peek(http)) != 200:
                pass
        for response in watching:
            response.close()


async def peek(http: aiohttp.ClientSession) -> int:
    response = await http.get("/v1/events")
    response.close()
    return response.status


@pytest.mark.parametrize("reads", [True, False], ids=["reading", "stuck"])
async def test_it_stops_in_time_with_streams_open(stage: Stage, reads: bool) -> None:
    """Under three seconds, which is the promise, also with a watcher that no longer reads or an enrolment."""
    await stage.kiosk.directory.add("7", "Ada", by="test")
    async with session(stage.control) as http, http.get("/v1/events") as response:
        await next_lines(response, 2)
        enrol = asyncio.create_task(ask(stage.control, "POST", "/v1/badges/enroll", {"user_id": "7"}))
        await enrolling(stage)
        if not reads:
            for _ in range(1000):
                stage.kiosk.events.publish("flood", text="x" * 10_000)
        async with asyncio.timeout(3):
            await stage.sockets.stop()
        if reads:
            await response.content.read()  # to a clean end: a broken one raises
        with pytest.raises(aiohttp.ClientError):
            await enrol


# --- callers who hang up


async def enrolling(stage: Stage) -> None:
    """Until an enrolment waits."""
    # Not found out by another wish, which would be in the way of this one.
    await until(lambda: stage.kiosk.directory._intake.enrolments._waiting is not None)


async def enrolment_code(stage: Stage) -> str:
    with pytest.raises(RefusedError) as refused:
        await stage.kiosk.directory.enroll("7", timeout_s=0, by="test")
    return refused.value.code


async def test_an_enrolment_ends_with_its_caller(stage: Stage) -> None:
    """After Ctrl-C the next badge goes to nobody: it must not become the one of whoever was asked for."""
    await stage.kiosk.directory.add("7", "Ada", by="test")
    _, writer = await asyncio.open_unix_connection(os.fspath(stage.control))
    body = b'{"user_id": "7", "timeout_s": 600}'
    writer.write(b"POST /v1/badges/enroll HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
    await enrolling(stage)
    writer.close()
    await writer.wait_closed()
    async with asyncio.timeout(PATIENCE_S):
        while await enrolment_code(stage) != "enrolment_timed_out":
            pass
    assert (await stage.kiosk.readers.tap("front", BADGE, None)).result == "unknown_badge"


async def test_what_acts_goes_on_without_its_caller() -> None:
    """Hanging up in the middle of an acting request leaves it whole."""
    begun, release, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def api_slow(call: Call) -> Answer:
        begun.set()
        await release.wait()
        ended.set()
        return Document({})

    async with open_kiosk(routes=(Route("POST", "/v1/slow", api_slow, Access.ACT, 100, to_the_end=True),)) as stage:
        _, writer = await asyncio.open_unix_connection(os.fspath(stage.control))
        writer.write(b"POST /v1/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        await begun.wait()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(PATIENCE_S):
            await until(lambda: not any(server.connections for server in stage.servers))
            release.set()
            await ended.wait()


async def test_states_filter_the_list(stage: Stage) -> None:
    """One state or several; others stay out."""
    await employ(stage)
    for states, count in (("pending", 1), ("review", 0), ("review,pending", 1), (",".join(PunchState), 1)):
        assert len((await ask(stage.status, "GET", f"/v1/punches?state={states}"))[1]) == count


def test_no_directory_is_needed_beforehand() -> None:
    """The runtime directory is made where it is missing, open for looking."""
    with tempfile.TemporaryDirectory() as name:
        from daemon.control.sockets import bind

        bound = bind(Path(name) / "new" / "status.sock", 0o660)
        assert stat.S_IMODE(bound.path.parent.stat().st_mode) & 0o700 == 0o700
        bound.remove()
        assert not bound.path.exists()


def test_the_status_socket_serves_nothing_that_acts() -> None:
    """Apart from the table that says so too: looking is GET, and whatever else there is wants control.sock."""
    assert {route.path for route in ROUTES if route.access is Access.READ and route.method != "GET"} == set()
    assert Access.ACT in {route.access for route in ROUTES if route.method == "POST"}
