"""The description of the sockets, held against the routes and against what a real daemon on a real service answers."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from socket import AF_UNIX, socket
from typing import Any
from urllib.parse import quote

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from daemon.control.openapi import OPERATIONS, document, text
from daemon.control.routes import ROUTES, Access
from tests.support.punchd_process import PATIENCE_S, Kiosk
from tests.support.sandbox_process import sandbox_process

ANNA = "9170357"
ANNAS, GHOSTS, STRANGERS, NEW = "04A1B2C3D4E580", "04FF00AA", "99887766554433", "04AABBCCDDEE01"


class Caller:
    """Asks a real daemon on control.sock and holds each answer against the description that daemon serves."""

    def __init__(self, kiosk: Kiosk) -> None:
        self._path = str(kiosk.runtime / "control.sock")
        self.described: dict[str, Any] = self.fetch("GET", "/v1/openapi.json")[2]
        self.asked: set[str] = set()

    @contextmanager
    def open(self, method: str, target: str, body: Any, media: str) -> Iterator[HTTPResponse]:
        """One request; its answer while a block lasts."""
        connection = HTTPConnection("punchd", timeout=PATIENCE_S)
        connection.sock = socket(AF_UNIX)
        connection.sock.settimeout(PATIENCE_S)
        connection.sock.connect(self._path)
        sent = body.encode() if isinstance(body, str) else None if body is None else json.dumps(body).encode()
        connection.request(method, target, sent, {"Content-Type": media})
        try:
            with connection.getresponse() as response:
                yield response
        finally:
            connection.close()

    def fetch(
        self, method: str, target: str, body: Any = None, media: str = "application/json"
    ) -> tuple[int, str, Any]:
        """Status, media type, and the JSON or text."""
        with self.open(method, target, body, media) as response:
            told, kind = response.read().decode(), response.headers.get_content_type()
            return response.status, kind, json.loads(told) if kind.endswith("json") else told

    def ask(self, route: str, body: Any = None, media: str = "application/json", query: str = "", **names: str) -> Any:
        """The answer of a route (`GET /v1/punches/{id}`), as described: status, media type, and its whole shape."""
        method, path = route.split(" ")
        target = re.sub(r"{(\w+)}", lambda name: quote(names[name[1]], safe=""), path) + query
        status, kind, answer = self.fetch(method, target, body, media)
        operation = self.described["paths"][path][method.lower()]
        assert str(status) in operation["responses"], (route, status, answer)
        content = operation["responses"][str(status)]["content"]
        assert set(content) == {kind}, route
        if kind == "application/json":
            self.hold(content[kind]["schema"], answer)
        if body is not None:
            self.hold(operation["requestBody"]["content"][media]["schema"], body)
        self.asked.add(route)
        return answer

    def until(self, punch: dict[str, Any], state: str) -> None:
        """Wait until a punch stands there."""
        while self.ask("GET /v1/punches/{id}", id=punch["id"])["state"] != state:
            pass

    def hold(self, schema: dict[str, Any], value: Any) -> None:
        """Nothing is missing, nothing is of another kind, and no object has a member that is not described."""
        whole = {**strict(schema), "components": strict(self.described["components"])}
        errors = list(Draft202012Validator(whole, format_checker=FormatChecker()).iter_errors(value))
        assert not errors, [f"{list(error.path)}: {error.message}" for error in errors][:5]


def strict(schema: Any) -> Any:
    """The same, where objects with described members have no others."""
    if isinstance(schema, list):
        return [strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {name: strict(one) for name, one in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed["additionalProperties"] = False
    return closed


@pytest.fixture(scope="module")
def kiosk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kiosk]:
    """A kiosk that runs against a sandbox of five people."""
    folder = tmp_path_factory.mktemp("kiosk")
    with sandbox_process(folder / "service") as sandbox:
        kiosk = Kiosk(folder, sandbox.url)
        kiosk.key.write_text(sandbox.key_file.read_text())
        with kiosk.running() as punchd:
            punchd.heard("READY=1")
            yield kiosk
            assert punchd.stopped() == 0


def test_every_route_answers_as_described(kiosk):
    """A day at a kiosk, through every route there is: each answer has the status, media type and shape described."""
    caller = Caller(kiosk)
    with caller.open("GET", "/v1/events", None, "application/json") as events:
        set_up(caller)
        ghost = tap(caller)
        look(caller, ghost)
        decide(caller, ghost)
        enroll(caller)
        for what in ("pause", "resume", "now"):
            caller.ask(f"POST /v1/sync/{what}")
        follow(caller, events)
    caller.ask("DELETE /v1/employees/{id}", id="777", query="?forget=true")
    caller.ask("DELETE /v1/employees/{id}", id=ANNA)
    assert caller.asked == set(OPERATIONS)


def set_up(caller: Caller) -> None:
    """Who is who: Anna, whom the service knows, and a ghost, whom it does not."""
    caller.ask("GET /v1/openapi.json")
    assert caller.ask("POST /v1/key/check")["valid"] is True
    csv = f"user_id,name,badge,job_id\n{ANNA},Anna Visser,{ANNAS},\n"
    caller.ask("POST /v1/employees/import", csv, "text/csv")
    caller.ask("POST /v1/employees/import", [{"user_id": ANNA, "name": "Anna Visser"}])
    caller.ask("POST /v1/employees/import", {"csv": csv})
    caller.ask("POST /v1/employees", {"user_id": "777", "name": "Ghost", "badge": GHOSTS})
    report = caller.ask("POST /v1/employees/sync", {"assignments": "all"})
    assert [one["user_id"] for one in report["unknown"]] == ["777"]


def tap(caller: Caller) -> dict[str, Any]:
    """Anna's tap arrives, the ghost's needs a person, a stranger's is kept. The ghost's punch."""
    anna = caller.ask("POST /v1/taps", {"badge": ANNAS, "reader": "front"})["punch"]
    caller.ask("POST /v1/taps", {"badge": STRANGERS, "reader": "front"})
    an_hour_ago = int(time.time()) - 3600
    ghost: dict[str, Any] = caller.ask("POST /v1/taps", {"badge": GHOSTS, "reader": "front", "at": an_hour_ago})[
        "punch"
    ]
    caller.until(anna, "delivered")
    caller.until(ghost, "review")
    return ghost


def look(caller: Caller, ghost: dict[str, Any]) -> None:
    """Everything that only reads."""
    for route in (
        "GET /v1/status", "GET /v1/present", "GET /v1/punches", "GET /v1/readers", "GET /v1/employees",
        "GET /v1/badges", "GET /v1/badges/unknown", "GET /v1/review", "GET /v1/export", "GET /v1/verify",
        "GET /metrics",
    ):  # fmt: skip
        assert caller.ask(route), route
    query = "?state=review,pending&employee=777&since=0&until=2100-03-01T00:00:00Z&limit=5"
    assert len(caller.ask("GET /v1/punches", query=query)) == 1
    assert caller.ask("GET /v1/export", query="?since=0&undelivered=true").count("\n") == 2
    assert caller.ask("GET /v1/audit", query="?since=2026-01-01T00:00:00Z")
    caller.ask("GET /v1/review/{id}", id=ghost["id"])


def decide(caller: Caller, ghost: dict[str, Any]) -> None:
    """A retry, a time that a person gives, a discard; a badge from nobody to somebody and back."""
    caller.ask("POST /v1/review/{id}/retry", id=ghost["id"])
    caller.until(ghost, "review")
    clock_out = {"clock_out": ghost["occurred_at_unix"] + 1800}
    assert caller.ask("POST /v1/review/{id}/resolve", clock_out, id=ghost["id"])["added"]
    caller.until(ghost, "review")
    caller.ask("POST /v1/review/{id}/discard", {"reason": "a ghost"}, id=ghost["id"])
    caller.ask("POST /v1/badges", {"badge": STRANGERS, "user_id": "777"})
    caller.ask("POST /v1/badges/{badge}/block", badge=STRANGERS)
    caller.ask("DELETE /v1/badges/{badge}", badge=STRANGERS)


def enroll(caller: Caller) -> None:
    """The badge that is tapped next; tapped again until somebody waits for it."""
    with ThreadPoolExecutor(1) as pool:
        body = {"user_id": ANNA, "timeout_s": 60}
        waiting = pool.submit(caller.ask, "POST /v1/badges/enroll", body)
        while not waiting.done():
            caller.ask("POST /v1/taps", {"badge": NEW, "reader": "front"})
        assert waiting.result()["badge"] == NEW


def follow(caller: Caller, events: HTTPResponse) -> None:
    """All that happened came by, each in its shape."""
    names = set()
    while "delivery.paused" not in names:
        line = events.readline()
        if line.startswith(b"data: "):
            event = json.loads(line[6:])
            caller.hold({"$ref": "#/components/schemas/Event"}, event)
            names.add(event["event"])
    assert {"punch.committed", "punch.delivered", "badge.enrolled"} <= names
    assert events.headers.get_content_type() == "text/event-stream"
    caller.asked.add("GET /v1/events")


def test_refusals_are_as_described(kiosk):
    """Each kind of refusal is the one document that is described for all."""
    caller = Caller(kiosk)
    for method, target, body in (
        ("GET", "/v1/punches/NOPE", None), ("GET", "/v1/punches?limit=0", None), ("POST", "/v1/taps", {}),
        ("DELETE", "/v1/badges/AABB", None), ("GET", "/v2", None), ("POST", "/v1/taps", "{"),
    ):  # fmt: skip
        status, kind, problem = caller.fetch(method, target, body)
        assert (status >= 400, kind) == (True, "application/problem+json")
        caller.hold({"$ref": "#/components/schemas/Problem"}, problem)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_what_a_route_takes_is_what_is_described(kiosk, route):
    """The daemon names the parameters it knows when it is given another: those, and no others, are described."""
    caller = Caller(kiosk)
    operation = caller.described["paths"][route.path][route.method.lower()]
    target = re.sub(r"{\w+}", "X", route.path)
    body = (
        {"nosuch": 1} if "requestBody" in operation and "text/csv" not in operation["requestBody"]["content"] else None
    )
    if route.path == "/v1/events":
        status, told = 422, caller.fetch("GET", f"{target}?nosuch=1")[2]
    else:
        status, _, told = caller.fetch(route.method, target + ("" if body else "?nosuch=1"), body)
    described = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
    if body:
        described = set(operation["requestBody"]["content"]["application/json"]["schema"]["properties"])
    if status == 422 and "no such parameter" in told["detail"]:
        listed = re.fullmatch(r"Known here: (.*)\.", told["remedy"])
        assert listed, told["remedy"]
        assert set(listed[1].split(", ")) - {"nothing"} == described
    else:
        assert not described


def test_the_description_is_whole_and_written_down():
    """Every route is described, no other; docs/openapi.json is what the code says; references and schemas hold."""
    assert set(OPERATIONS) == {f"{route.method} {route.path}" for route in ROUTES}
    page = Path(__file__).parents[2] / "docs" / "openapi.json"
    assert page.read_text() == text(), "write it anew: python -m daemon.control.openapi > docs/openapi.json"
    told = json.dumps(document())
    schemas = document()["components"]["schemas"]
    assert set(re.findall(r"#/components/schemas/(\w+)", told)) == set(schemas) - {"Event"}
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    operations = [one for path in document()["paths"].values() for one in path.values()]
    assert len({one["operationId"] for one in operations}) == len(operations)
    assert all(one["summary"] and one["description"] for one in operations)
    acting = {f"{route.method} {route.path}" for route in ROUTES if route.access is Access.ACT}
    for path, methods in document()["paths"].items():
        for method, one in methods.items():
            assert ("status.sock" in one["x-sockets"]) is (f"{method.upper()} {path}" not in acting)
