"""Which job a job's id belongs to: clock-in takes a sub-job's id alone, time activities want its parent too.

The jobs tree is read when first needed and kept; it is read again for an id it does not know, at most once an hour.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from daemon.timesheets.connecteam import wire
from daemon.timesheets.connecteam.client import Answer, Request
from daemon.timesheets.connecteam.keys import Unusable
from daemon.timesheets.connecteam.wire import JobPath, WireError
from daemon.timesheets.timesheet import CertificateTime, KeyRefused, NotSent, Throttled

#: A company that needs more pages than this has another problem; every page is a request of a scarce budget.
PAGES_MAX = 10
#: An unknown id costs one more reading at most this often.
AGAIN_AFTER_S = 3600.0

#: Sends one request with our key, as the timesheet does.
Ask = Callable[[Request], Awaitable[Answer | Unusable]]


class Jobs:
    """The jobs tree of one time clock."""

    def __init__(self, ask: Ask, time_clock_id: int, monotonic: Callable[[], float]) -> None:
        self._ask = ask
        self._time_clock_id = time_clock_id
        self._monotonic = monotonic
        self._paths: dict[str, JobPath] = {}
        self._read_at: float | None = None

    async def path(self, job_id: str) -> JobPath | Unusable:
        """How time activities name this job. An id the tree does not know is given as it is: the service judges it."""
        if job_id not in self._paths and self._may_read():
            failed = await self._read()
            if failed is not None:
                return failed
        return self._paths.get(job_id, JobPath(job_id))

    def _may_read(self) -> bool:
        return self._read_at is None or self._monotonic() - self._read_at >= AGAIN_AFTER_S

    async def _read(self) -> Unusable | None:
        paths: dict[str, JobPath] = {}
        for page in range(PAGES_MAX):
            query = wire.jobs_query(self._time_clock_id, page * wire.JOBS_PAGE)
            answer = await self._ask(Request("GET", "/jobs/v1/jobs", query=query, body_max=4 * 1024 * 1024))
            if isinstance(answer, NotSent | CertificateTime | Throttled | KeyRefused):
                return answer
            told = wire.parse(answer.body)
            if answer.status == 403 and told is not None:
                break  # this key may not read jobs, or the account has none: that disables this feature, not the kiosk
            try:
                if answer.fault is not None or answer.status != 200 or told is None:
                    raise WireError(answer.fault or f"status {answer.status}")
                found, rows = wire.jobs(told)
            except WireError as error:
                return NotSent(f"cannot read the jobs: {error}")
            paths.update(found)
            if rows < wire.JOBS_PAGE:
                break
        self._paths, self._read_at = paths, self._monotonic()
        return None
