"""What the service refuses, and the five shapes it says so in (facts 1.9)."""

from __future__ import annotations

from typing import Any

from sandbox.connecteam.behaviour import Behaviour, Shape
from sandbox.http import Response

#: Facts 1.9: one example carries the number 1002; which code it stands for is not told, so each gets one of its own.
_FIRST_NUMBER = 1002


class Code:
    """The codes of S3 and of facts 1.5 and 1.6, in the vendor's spelling."""

    FUTURE = "INVALID_TIMESTAMP_FUTURE"
    TOO_OLD = "INVALID_TIMESTAMP_TOO_OLD"
    BEFORE_CLOCK_IN = "INVALID_TIMESTAMP_BEFORE_CLOCK_IN"
    LOCKED = "HAS_LOCKED_DAYS"
    NO_OPEN_SHIFT = "NO_OPEN_SHIFT"
    JOB_REQUIRED = "JOB_REQUIRED"
    OPEN_BREAK = "OPEN_BREAK"
    GEOFENCE = "OUTSIDE_GEOFENCE"
    ACTIVITY_GONE = "TIME_ACTIVITY_NOT_FOUND"
    INVALID_ID = "INVALID_ID"
    ON_BREAK = "ALREADY_ON_BREAK"


_NUMBERS = {
    code: _FIRST_NUMBER + place
    for place, code in enumerate(value for name, value in vars(Code).items() if not name.startswith("_"))
}


class Refusal(Exception):
    """The service will not do it. `code` is None for the rows that have none (facts 1.4).

    `shape` is the one this endpoint uses where the behaviour forces none; `faults` are a 422's single complaints.
    """

    def __init__(
        self,
        status: int,
        text: str,
        *,
        code: str | None = None,
        shape: Shape = Shape.DETAIL,
        faults: list[dict[str, Any]] | None = None,
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.code = code
        self.shape = shape
        self.faults = faults


def coded(status: int, code: str, text: str, shape: Shape = Shape.ERROR) -> Refusal:
    """A refusal with a code; where S3's codes sit in the body is not shown (U5), so the shape can be switched."""
    return Refusal(status, text, code=code, shape=shape)


def render(refusal: Refusal, behaviour: Behaviour, path: str, request_id: str) -> Response:
    """The answer that says so. Validation (422) and authentication (401, 403) keep their own shape."""
    if refusal.faults is not None:
        return Response.of(refusal.status, {"detail": refusal.faults})
    shape = refusal.shape
    if behaviour.error_shape is not None and refusal.status not in (401, 403):
        shape = behaviour.error_shape
    line = refusal.text if refusal.code is None else f"{refusal.code}: {refusal.text}"
    tail = {"path": path, "request_id": request_id}
    document: dict[str, Any]
    match shape:
        case Shape.VALIDATION:
            document = {"detail": [{"loc": ["body"], "msg": line, "type": "value_error"}]}
        case Shape.DETAIL:
            document = {"detail": line}
        case Shape.DETAIL_LIST:
            document = {"detail": [line]}
        case Shape.ERROR:
            document = {"error": line, **tail}
        case Shape.DETAILS:
            document = {
                "details": _details(refusal, line, behaviour.numeric_codes),
                "error": {"status": refusal.status, "message": refusal.text},
                **tail,
            }
    return Response.of(refusal.status, document)


def _details(refusal: Refusal, line: str, numeric: bool) -> dict[str, Any]:
    """A number says nothing by itself, so the code then stands in the message."""
    if refusal.code is None:
        return {"error_message": refusal.text, "error_code": None}
    if numeric:
        return {"error_message": line, "error_code": _NUMBERS.get(refusal.code, _FIRST_NUMBER)}
    return {"error_message": refusal.text, "error_code": refusal.code}
