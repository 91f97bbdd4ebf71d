"""Connecteam as a Timesheet: one step, one request, one outcome.

A step goes out once and nothing is tried again in here. Source of the service's ways: facts 1.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import replace
from typing import Final
from zoneinfo import ZoneInfo

import httpx

from daemon.config import ConnecteamConfig
from daemon.errors import ConfigError
from daemon.timesheets.connecteam import answers, staff, wire
from daemon.timesheets.connecteam.client import Answer, Client, Request
from daemon.timesheets.connecteam.jobs import Jobs
from daemon.timesheets.connecteam.keys import ApiKey, Identity, Tell, Unusable
from daemon.timesheets.connecteam.oauth import OAuthApp, boottime
from daemon.timesheets.timesheet import (
    Capabilities,
    CertificateTime,
    CheckAssigned,
    CheckLocks,
    CloseShift,
    EndShift,
    Found,
    KeyRefused,
    LookUp,
    NotSent,
    OpenShift,
    Outcome,
    Probe,
    ReadPeople,
    RecordShift,
    RecordShifts,
    Refused,
    Reply,
    Standings,
    Step,
    Throttled,
    Uncertain,
)

#: A list of 90 days for a large company fits several times.
LIST_BYTES_MAX: Final = 4 * 1024 * 1024
#: What of an answer is kept for the journal (seam: Reply.body).
BODY_CHARS_MAX: Final = 2000


class ConnecteamTimesheet:
    """Implements daemon.timesheets.timesheet.Timesheet. Needs no network and no key to be built.

    Times on records are in the kiosk's `zone`; `kiosk` names it in the records it makes. `transport`, `tls` and `proxy`
    are those of Client. `on_secret` is told every secret as soon as it is known, so that the log can watch for it;
    `monotonic` is a clock in seconds that never steps.
    """

    def __init__(
        self,
        config: ConnecteamConfig,
        *,
        kiosk: str,
        zone: ZoneInfo,
        transport: httpx.AsyncBaseTransport | None = None,
        tls: ssl.SSLContext | None = None,
        proxy: str | None = None,
        on_secret: Tell = lambda secret: None,
        monotonic: Callable[[], float] = boottime,
    ) -> None:
        self._config = config
        self._kiosk = kiosk
        self._zone = zone
        self._identity = _identity(config, on_secret, monotonic)
        self._client = Client(config.base_url, timeout_s=config.timeout_s, transport=transport, tls=tls, proxy=proxy)
        self._jobs = Jobs(self._ask, config.time_clock_id, monotonic)

    def __repr__(self) -> str:
        return f"ConnecteamTimesheet({self._client!r}, time_clock_id={self._config.time_clock_id})"

    @property
    def capabilities(self) -> Capabilities:
        """Live within the look-back; late ends by update where the configuration allows it."""
        return Capabilities(live=True, lookback_s=self._config.lookback_s, close_late=self._config.close_late_by_update)

    async def carry_out(self, step: Step) -> Reply:
        """Send what the step asks for, once. Never raises for what the network or the service does."""
        sent = self._client.sent
        request = await self._request(step)
        answer = await self._ask(request) if isinstance(request, Request) else request
        if isinstance(answer, Answer):
            return self._reply(step, answer)
        # A token, or the jobs, may have been asked for: that reached the service, whatever the step comes to.
        return Reply(answer, unsent=isinstance(answer, NotSent | CertificateTime) and self._client.sent == sent)

    async def reload_key(self) -> bool:
        """Read the key again; True when it changed. Raises ConfigError when it cannot be read."""
        return self._identity.reload()

    def abandon(self) -> bool:
        """Wait no longer for a request that has not left, or that only reads; whether there was one."""
        return self._client.abandon()

    async def aclose(self) -> None:
        """Drop kept connections."""
        await self._client.aclose()

    async def _request(self, step: Step) -> Request | Unusable | Refused | Found | Standings:
        """The request of a step; what is known without one for a person the service cannot know."""
        clock = f"/time-clock/v1/time-clocks/{self._config.time_clock_id}"
        match step:
            case Probe():
                return Request("GET", "/me")
            case LookUp():
                # People with impossible ids have no records; the others must not wait for them.
                if not any(map(wire.user_number, step.user_ids)):
                    return Found(())
                query = wire.list_query(step, self._zone)
                return Request("GET", f"{clock}/time-activities", query=query, body_max=LIST_BYTES_MAX)
            case ReadPeople(offset):
                return Request("GET", "/users/v1/users", query=staff.people_query(offset), body_max=LIST_BYTES_MAX)
            case CheckLocks():
                if not any(map(wire.user_number, step.user_ids)):
                    return Standings(())
                query = staff.locks_query(step, self._zone)
                return Request("GET", f"{clock}/timesheet", query=query, body_max=LIST_BYTES_MAX)
            case RecordShifts(shifts):
                # One impossible id would be a 422 for all; left out, its own request says so to that person alone.
                possible = tuple(shift for shift in shifts if wire.user_number(shift.user_id) is not None)
                if not possible:
                    return _impossible(", ".join(shift.user_id for shift in shifts))
                return await self._create(f"{clock}/time-activities", possible)
        if wire.user_number(step.user_id) is None:
            return _impossible(step.user_id)
        match step:
            case CheckAssigned(user_id):
                return Request("GET", f"/users/v1/users/{user_id}/assignments", query=staff.ASSIGNMENTS_QUERY)
            case OpenShift():
                return Request("POST", f"{clock}/clock-in", json=wire.clock_in(step))
            case EndShift():
                return Request("POST", f"{clock}/clock-out", json=wire.clock_out(step))
            case CloseShift():
                return Request("PUT", f"{clock}/time-activities", json=wire.update(step, self._zone, self._kiosk))
            case RecordShift():
                return await self._create(f"{clock}/time-activities", (step,))

    async def _create(self, path: str, shifts: tuple[RecordShift, ...]) -> Request | Unusable:
        """The request that records completed shifts, each with its job as time activities name it."""
        named = []
        for shift in shifts:
            job = await self._jobs.path(shift.job_id) if shift.job_id else None
            if isinstance(job, NotSent | CertificateTime | Throttled | KeyRefused):
                return job
            named.append((shift, job))
        return Request("POST", path, json=wire.create(named, self._zone, self._kiosk))

    async def _ask(self, request: Request) -> Answer | Unusable:
        """Send one request as ourselves. What comes back carries no secret, not even one that was echoed."""
        headers = await self._identity.headers(self._client)
        if isinstance(headers, KeyRefused):
            return replace(headers, detail=self._identity.scrub(headers.detail))
        if isinstance(headers, NotSent | CertificateTime | Throttled):
            return headers
        answer = await self._client.send(request, headers)
        if not isinstance(answer, Answer):
            return replace(answer, why=self._identity.scrub(answer.why))
        scrub = self._identity.scrub
        answer = Answer(
            answer.status,
            answer.headers,  # nothing of them but numbers and times goes any further
            scrub(answer.body.decode("latin-1")).encode("latin-1"),  # every byte is one character there
            scrub(answer.fault) if answer.fault else None,
        )
        if answer.status == 401 and wire.parse(answer.body) is not None and self._identity.refused():
            return NotSent("the access token had ended early; the next request takes a new one")
        return answer

    def _reply(self, step: Step, answer: Answer) -> Reply:
        told = wire.parse(answer.body)
        if answer.status is None or answer.fault is not None:
            outcome: Outcome = Uncertain(answer.fault or "no answer", answer.status)
        else:
            settings = staff.Settings(self._config.time_clock_id, self._config.badge_field)
            outcome = answers.judge(step, answer.status, answer.headers, told, settings)
        text = wire.clean(answer.body[: 4 * BODY_CHARS_MAX].decode("utf-8", "replace"))[:BODY_CHARS_MAX]
        return Reply(
            outcome,
            status=answer.status,
            server_date=answers.date(answer.headers) if self._client.believable else None,
            budget=answers.budget(answer.headers),
            request_id=wire.request_id(told) if told is not None else None,
            body=text or None,
        )


def _identity(config: ConnecteamConfig, on_secret: Tell, monotonic: Callable[[], float]) -> Identity:
    if config.oauth_client_id is not None and config.oauth_client_secret_file is not None:
        return OAuthApp(config.oauth_client_id, config.oauth_client_secret_file, on_secret, monotonic=monotonic)
    if config.api_key_file is None:
        raise ConfigError(
            "cannot talk to Connecteam without a key: set api_key_file, give the systemd credential "
            "connecteam-api-key, or set the OAuth client id and secret file"
        )
    return ApiKey(config.api_key_file, on_secret)


def _impossible(user_id: str) -> Refused:
    return Refused("invalid_request", f"{user_id[:100]!r} cannot be a Connecteam user id: those are numbers")
