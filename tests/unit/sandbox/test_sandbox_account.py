"""The account of the model: keys and tokens, budget, master data, paths, and the shapes of refusals."""

from __future__ import annotations

import base64

import pytest

from sandbox.connecteam.behaviour import Shape
from sandbox.connecteam.limits import BASIC, PLANS, SMALL_BUSINESS
from sandbox.http import Request, Response
from tests.unit.sandbox.kit import ANNA, BASE, BRAM, HOUR, NOON, Kit, refused


@pytest.fixture
def kit() -> Kit:
    return Kit()


# --- who may ask


def test_me_proves_the_key(kit: Kit) -> None:
    """Facts 1.2: `GET /me` answers with the company."""
    assert kit.ask("GET", "/me").document()["data"] == {"companyName": "Sandbox Bakery", "companyId": 7001}


@pytest.mark.parametrize("headers", [{"x-api-key": "wrong"}, {"x-api-key": ""}, {"accept": "*/*"}])
def test_without_a_good_key_nothing_happens(kit: Kit, headers: dict[str, str]) -> None:
    """401, nothing is written, and the account's budget is not touched."""
    answer = kit.ask("POST", f"{BASE}/clock-in", {"userId": ANNA}, **headers)
    assert answer.status == 401
    assert "x-ratelimit-minute-limit" not in answer.headers
    assert kit.sandbox.timesheet() == []
    assert kit.company.limits.minute.used == 0


def test_keys_expire_and_can_be_taken_back(kit: Kit) -> None:
    """Facts 1.2: a key may have an expiry."""
    kit.company.access.keys["short"] = NOON + 60.0
    assert kit.ask("GET", "/me", **{"x-api-key": "short"}).status == 200
    kit.sandbox.clock.move(60)
    assert kit.ask("GET", "/me", **{"x-api-key": "short"}).status == 401
    kit.company.access.revoke_all()
    assert kit.ask("GET", "/me").status == 401


@pytest.mark.parametrize(("plan", "hub", "punch", "me"), [(BASIC, True, 403, 403), (None, False, 403, 200)])
def test_the_plan_and_the_hub_gate(kit: Kit, plan: object, hub: bool, punch: int, me: int) -> None:
    """Facts 1.1: Expert or higher; time clocks and jobs need the Operations hub, `/me` does not."""
    kit.company.limits.plan = BASIC if plan else kit.company.limits.plan
    kit.company.access.hub = hub
    assert kit.clock_in(NOON).status == punch
    assert kit.ask("GET", "/me").status == me


def token(
    kit: Kit, *, secret: str = "s3", scope: str = "time_clock.write", grant: str = "client_credentials"
) -> Response:
    basic = base64.b64encode(f"kiosk:{secret}".encode()).decode()
    body = f"grant_type={grant}&scope={scope.replace(' ', '+')}".encode()
    request = Request.of("POST", "/oauth/v1/token", headers={"Authorization": f"Basic {basic}"}, body=body)
    return kit.sandbox.handle(request)


def test_client_credentials_give_a_token_for_a_day(kit: Kit) -> None:
    """Facts 1.2: HTTP Basic and a form; the token has only the scopes asked for and lives 86 400 s."""
    kit.company.access.add_app("kiosk", "s3")
    told = token(kit).document()
    assert (told["token_type"], told["expires_in"], told["scope"]) == ("bearer", 86_400, "time_clock.write")
    bearer = {"authorization": f"Bearer {told['access_token']}"}
    assert kit.ask("POST", f"{BASE}/clock-in", {"userId": ANNA}, **bearer).status == 200
    assert kit.ask("GET", "/me", **bearer).status == 403
    kit.sandbox.clock.move(86_400)
    assert kit.ask("POST", f"{BASE}/clock-out", {"userId": ANNA}, **bearer).status == 401


def test_token_errors(kit: Kit) -> None:
    """Facts 1.2: 400 invalid grant type, 401 invalid client, 403 scopes not granted."""
    kit.company.access.add_app("kiosk", "s3")
    assert token(kit, grant="password").status == 400
    assert token(kit, secret="wrong").status == 401
    assert token(kit, scope="time_clock.write users.delete").status == 403
    no_basic = Request.of("POST", "/oauth/v1/token", body=b"grant_type=client_credentials")
    assert kit.sandbox.handle(no_basic).status == 401
    assert kit.sandbox.handle(Request.of("GET", "/oauth/v1/token")).status == 405


# --- the budget


def test_the_budget_is_told_and_kept(kit: Kit) -> None:
    """Facts 1.3: six headers on every answer, resets in Unix seconds; then 429 without Retry-After until the reset."""
    kit.company.limits.plan = SMALL_BUSINESS
    first = kit.ask("GET", "/me")
    assert first.headers["x-ratelimit-minute-limit"] == "5"
    assert first.headers["x-ratelimit-minute-remaining"] == "4"
    assert first.headers["x-ratelimit-minute-reset"] == str(NOON + 60)
    assert first.headers["x-ratelimit-day-limit"] == "100"
    assert first.headers["x-ratelimit-day-remaining"] == "99"
    assert first.headers["x-ratelimit-day-reset"] == str(NOON + 12 * HOUR)
    assert [kit.ask("GET", "/me").status for _ in range(5)] == [200, 200, 200, 200, 429]
    answer = kit.clock_in(NOON)
    assert (answer.status, answer.document()) == (429, {"detail": "Too many requests"})
    assert answer.headers["x-ratelimit-minute-remaining"] == "0"
    assert "retry-after" not in answer.headers
    assert kit.sandbox.timesheet() == []
    kit.sandbox.clock.move(60)
    assert kit.clock_in(NOON).status == 200


def test_the_day_runs_out_too(kit: Kit) -> None:
    """Facts 1.3: 100 a day on the small plan, others' requests count as well."""
    kit.company.limits.plan = SMALL_BUSINESS
    for _ in range(20):
        kit.company.limits.spend(kit.sandbox.clock.now(), 5)
        kit.sandbox.clock.move(60)
    assert kit.ask("GET", "/me").status == 429
    kit.sandbox.clock.move(12 * HOUR)
    assert kit.ask("GET", "/me").status == 200


def test_the_throttle_that_says_200(kit: Kit) -> None:
    """Facts 1.3, "Trap": status 200, no data."""
    kit.company.limits.plan, kit.company.limits.as_200 = SMALL_BUSINESS, True
    kit.company.limits.spend(kit.sandbox.clock.now(), 5)
    answer = kit.clock_in(NOON)
    assert (answer.status, answer.document()) == (200, {"detail": "Too many requests"})
    assert kit.sandbox.timesheet() == []


def test_headers_may_be_missing(kit: Kit) -> None:
    """A proxy that strips what it does not know."""
    kit.company.limits.with_headers = False
    assert not [name for name in kit.ask("GET", "/me").headers if name.startswith("x-ratelimit")]


def test_plans() -> None:
    """Facts 1.3."""
    told = {name: (plan.per_minute, plan.per_day) for name, plan in PLANS.items() if plan.api}
    assert told == {"small_business": (5, 100), "expert": (100, 10_000), "enterprise": (200, 20_000)}


# --- the envelope


def test_every_answer_has_the_services_own_date(kit: Kit) -> None:
    """The Date header follows the sandbox's clock, also on refusals."""
    assert kit.ask("GET", "/me").headers["date"] == "Tue, 24 Nov 2026 12:00:00 GMT"
    kit.sandbox.clock.move(-3600)
    assert kit.ask("GET", "/nowhere").headers["date"] == "Tue, 24 Nov 2026 11:00:00 GMT"


def test_success_has_an_envelope(kit: Kit) -> None:
    """Facts 1.1: requestId and data."""
    document = kit.clock_in(NOON).document()
    assert set(document) == {"requestId", "data"}


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", f"{BASE}/clock-in", 405),
        ("DELETE", "/me", 405),
        ("POST", "/time_clock/v1/time_clocks/12345/clock_in", 404),
        ("POST", "/time-clock/v1/time-clocks/12345/clock-in/", 404),
        ("POST", "/time-clock/v1/time-clocks/999/clock-in", 404),
        ("POST", "/time-clock/v1/time-clocks/front/clock-in", 404),
        ("GET", "/time-clock/v2/time-clocks", 404),
    ],
)
def test_wrong_paths(kit: Kit, method: str, path: str, status: int) -> None:
    """Facts 1.1: paths have hyphens; what is not there is 404, another method 405."""
    assert kit.ask(method, path, {"userId": ANNA} if method == "POST" else None).status == status


def test_an_unknown_time_clock_may_be_a_400(kit: Kit) -> None:
    """Facts 1.5: "time clock id doesn't exist"."""
    kit.behaviour.unknown_clock_status = 400
    answer = kit.ask("POST", "/time-clock/v1/time-clocks/999/clock-in", {"userId": ANNA})
    refused(answer, 400, "time clock id doesn't exist")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b"\xff"])
def test_a_body_that_is_no_json_object_is_a_422(kit: Kit, body: bytes) -> None:
    """Facts 1.9."""
    request = Request.of("POST", f"{BASE}/clock-in", headers={"X-API-KEY": "sandbox-key"}, body=body)
    answer = kit.sandbox.handle(request)
    assert answer.status == 422
    assert answer.document()["detail"][0]["loc"] == ["body"]


# --- shapes of refusals


@pytest.mark.parametrize(
    ("shape", "keys"),
    [
        (None, {"error", "path", "request_id"}),
        (Shape.ERROR, {"error", "path", "request_id"}),
        (Shape.DETAILS, {"details", "error", "path", "request_id"}),
        (Shape.DETAIL, {"detail"}),
        (Shape.DETAIL_LIST, {"detail"}),
        (Shape.VALIDATION, {"detail"}),
    ],
)
@pytest.mark.parametrize("numeric", [False, True])
def test_a_code_stands_in_every_shape(kit: Kit, shape: Shape | None, keys: set[str], numeric: bool) -> None:
    """Facts 1.9 and U5: the same refusal in any of the five shapes still carries its code."""
    kit.behaviour.error_shape, kit.behaviour.numeric_codes = shape, numeric
    answer = kit.clock_out(NOON)
    refused(answer, 400, "NO_OPEN_SHIFT")
    assert set(answer.document()) == keys
    if shape is Shape.DETAILS:
        assert isinstance(answer.document()["details"]["error_code"], int if numeric else str)


@pytest.mark.parametrize("shape", list(Shape))
def test_rows_without_a_code_have_none_in_any_shape(kit: Kit, shape: Shape) -> None:
    """S3: only words."""
    kit.behaviour.error_shape = shape
    kit.clock_in(NOON)
    refused(kit.clock_in(NOON), 400, "User already has an open shift")


# --- master data


def test_users_come_in_pages_of_ten_unless_asked(kit: Kit) -> None:
    """Facts 1.7: limit 1 to 500, default 10; paging at the top."""
    for number in range(1, 16):
        kit.company.add_user(number, f"Person {number}")
    first = kit.ask("GET", "/users/v1/users").document()
    assert (len(first["data"]["users"]), first["paging"]["total"]) == (10, 17)
    assert len(kit.ask("GET", "/users/v1/users?limit=500").document()["data"]["users"]) == 17
    assert len(kit.ask("GET", "/users/v1/users?limit=10&offset=10").document()["data"]["users"]) == 7
    assert kit.ask("GET", "/users/v1/users?limit=501").status == 422
    assert kit.ask("GET", "/users/v1/users?limit=0").status == 422


def test_users_are_filtered(kit: Kit) -> None:
    """Facts 1.7: active by default; ids by repeating the key."""
    kit.manager.archive(BRAM)

    def ids(query: str) -> list[int]:
        return [user["userId"] for user in kit.ask("GET", f"/users/v1/users?{query}").document()["data"]["users"]]

    assert ids("") == [ANNA]
    assert ids("userStatus=archived") == [BRAM]
    assert ids(f"userStatus=all&userIds={ANNA}&userIds={BRAM}") == [ANNA, BRAM]
    assert ids(f"userStatus=all&userIds={ANNA},{BRAM}") == []
    assert ids("fullNames=Anna+Visser") == [ANNA]


def test_a_user_has_the_documented_fields(kit: Kit) -> None:
    """Facts 1.7: names, type, kiosk code, custom fields (the natural home of a badge number)."""
    kit.company.users[ANNA].custom_fields["Badge"] = "04AA"
    [user] = kit.ask("GET", f"/users/v1/users?userIds={ANNA}").document()["data"]["users"]
    assert (user["firstName"], user["lastName"], user["userType"]) == ("Anna", "Visser", "user")
    assert user["customFields"] == [{"customFieldId": 1, "name": "Badge", "type": "str", "value": "04AA"}]


def test_assignments_follow_the_manager(kit: Kit) -> None:
    """Facts 1.7: whether a person is assigned can be asked in advance."""
    path = f"/users/v1/users/{ANNA}/assignments?assetTypes=timeClock"
    assert kit.ask("GET", path).document()["data"] == {"assets": [{"id": 12345, "type": "timeClock"}]}
    kit.manager.unassign(ANNA)
    assert kit.ask("GET", path).document()["data"] == {"assets": []}
    kit.manager.assign(ANNA)
    assert len(kit.ask("GET", path).document()["data"]["assets"]) == 1
    assert kit.ask("GET", "/users/v1/users/1/assignments").status == 404


def test_time_clocks_are_listed(kit: Kit) -> None:
    """Facts 1.7: all of them, without paging; an archived one takes no punches."""
    told = kit.ask("GET", "/time-clock/v1/time-clocks").document()["data"]["timeClocks"]
    assert told == [{"id": 12345, "name": "Front door", "isArchived": False}]
    kit.clock.archived = True
    assert kit.clock_in(NOON).status == 404


def test_jobs_have_their_tree(kit: Kit) -> None:
    """Facts 1.7: per clock by `instanceIds`, deleted ones included unless asked otherwise; paging may hide in data."""
    parent = kit.company.add_job("Bakery")
    child = kit.company.add_job("Ovens", parent=parent)
    gone = kit.company.add_job("Gone")
    gone.deleted = True
    kit.company.add_job("Elsewhere", clocks={777})
    document = kit.ask("GET", "/jobs/v1/jobs?instanceIds=12345").document()
    assert [job["jobId"] for job in document["data"]["jobs"]] == [parent.id, gone.id]
    [sub_job] = document["data"]["jobs"][0]["subJobs"]
    assert (sub_job["jobId"], sub_job["parentId"]) == (child.id, parent.id)
    kit.behaviour.paging_under_data = True
    document = kit.ask("GET", "/jobs/v1/jobs?instanceIds=12345&includeDeleted=false").document()
    assert [job["title"] for job in document["data"]["jobs"]] == ["Bakery"]
    assert document["data"]["paging"]["total"] == 1
