"""Every alarm there is: what it means, what to do, and whether it leaves the box. docs/alarms.md is printed from here.

python -m daemon.alarm_codes > docs/alarms.md
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import Final


class Leaves(enum.Enum):
    """Whether an alarm is told to the receivers of [alerts]."""

    NO = "no"
    YES = "yes"
    AT_ONCE = "also in quiet hours"


@dataclass(frozen=True, slots=True)
class Code:
    """One alarm. In a code that stands for several, NAME stands for a reader, a part of punchd, or a way out."""

    code: str
    leaves: Leaves
    meaning: str
    remedy: str

    def covers(self, code: str) -> bool:
        """Whether an alarm's code is this one."""
        return re.fullmatch(re.escape(self.code).replace("NAME", ".+"), code) is not None


#: Most serious first. At night comes only what keeps taps from being stored: people stand before the reader, and what
#: is not stored is lost. Whatever only keeps stored punches from being delivered can wait for the morning.
CODES: Final = (
    Code("cannot_store", Leaves.AT_ONCE, "Taps are refused: the disk does not take them.",
         "Free some space or replace the disk; `punchctl doctor` says which."),
    Code("database_damaged", Leaves.AT_ONCE, "The daily check, or that after a power cut, found damage.",
         "It is salvaged by itself at the next start, which follows at once; replace the card."),
    Code("database_salvaged", Leaves.YES, "The database was damaged and was built anew; the text says what was lost.",
         "See who is named there; then move the folder with the damaged files away, which ends the alarm."),
    Code("copy_failing", Leaves.YES, "The second copy of the punches cannot be written; the database has them.",
         "Give the copy its medium again, or room on it, or name another (`[copy]` in the configuration)."),
    Code("disk_low", Leaves.YES, "The disk of the state directory has less than 200 MB (a small one: a tenth) left.",
         "Free some space, or give it a larger disk, before taps can no longer be stored."),
    Code("reader_lost:NAME", Leaves.YES, "This reader takes no taps: unplugged, or its service (pcscd) is gone.",
         "Plug it in again; `punchctl readers` and `punchctl doctor` say more."),
    Code("reader_silent:NAME", Leaves.YES, "This reader is there, but silent for far longer than is usual for it.",
         "Hold a badge to it; if it stays dark, unplug it and plug it in again (`alerts.silent_reader_hours`)."),
    Code("halted", Leaves.YES, "The service refuses the key: nothing is delivered. Taps are kept.",
         "Give punchd a valid key; a changed key file is noticed by itself."),
    Code("misconfigured", Leaves.YES, "The service does not know the time clock, or refuses everybody alike.",
         "Check `time_clock_id` and the key's account, then `punchctl sync now`."),
    Code("queue_old", Leaves.YES, "Punches have waited to be delivered for longer than `alerts.queue_hours`.",
         "Look why with `punchctl status`: no network, a pause, or another alarm."),
    Code("review_waiting", Leaves.YES, "Punches need a person to decide.",
         "`punchctl review list`, or mend it in the timesheet."),
    Code("clock_doubted", Leaves.YES, "The service's clock and this kiosk's differ by more than 30 s; nothing is sent.",
         "Set the clock right, or find out which of the two is wrong (`timedatectl`)."),
    Code("clock_untrusted", Leaves.YES, "Nothing has vouched for the clock since the start; nothing is sent.",
         "Let the kiosk reach its time server, or the service."),
    Code("recorded_twice", Leaves.YES, "A punch stands on the timesheet twice: the service showed it too late.",
         "Delete in the timesheet the shift that the alarm names."),
    Code("certificate_time", Leaves.YES, "By this clock the service's certificate is expired or not yet valid.",
         "Set the clock right (`timedatectl`)."),
    Code("plan_too_small", Leaves.YES, "The account's requests do not carry the queue before it expires.",
         "Take a larger plan, or let fewer programs share the account."),
    Code("NAME_failing", Leaves.YES, "A part of punchd failed and is started again by itself.",
         "If that goes on, report it with the output of `journalctl -u punchd`."),
    Code("server_changes_times", Leaves.NO, "The service records other times than it is given (rounding rules).",
         "Switch rounding off in the time clock's settings, or live with it."),
    Code("look_up_refused", Leaves.NO, "The key may not read the timesheet: what needs a look there waits.",
         "Give the key that right."),
    Code("timesheet_unreadable", Leaves.NO, "Records of some people are not as the service promises: these wait.",
         "Look at their shifts in the timesheet, and report this."),
    Code("metrics_unavailable", Leaves.NO, "The address of `metrics.listen` is taken.",
         "Free it or name another, then restart punchd."),
    Code("alerts_unsent:NAME", Leaves.NO, "Alarms do not get out by this way (url or command); they are tried again.",
         "Look at the log for why; `punchd check` looks at the configuration."),
)  # fmt: skip


def find(code: str) -> Code | None:
    """The entry of an alarm's code."""
    return next((entry for entry in CODES if entry.covers(code)), None)


def markdown() -> str:
    """docs/alarms.md, whole."""
    rows = [f"| `{one.code}` | {one.meaning} | {one.remedy} | {one.leaves.value} |" for one in CODES]
    return _PAGE.format(rows="\n".join(rows))


_PAGE = """\
# Alarms

What is wrong right now, each thing once: in `punchctl status`, in `GET /v1/status`, in the log, and, where the
table says so, told to the receivers of `[alerts]`. Printed by `python -m daemon.alarm_codes`.

| code | means | remedy | told |
| --- | --- | --- | --- |
{rows}

In a code, NAME is the reader, the part of punchd, or the way out that it is about.

## How they are told

`[alerts]` in the configuration names a `url`, a `command`, or both. Each alarm is told once when it is raised
and once when it is over, as one JSON document:

```json
{{"id": "5f0c…", "code": "halted", "raised": true, "since": "2026-03-01T08:00:00Z", "kiosk": "front-door", "text": "…"}}
```

- `since` is when it was raised; the message that it is over (`"raised": false`) has the same `since`.
- `id` is the message's own. After a lost answer or a power cut the same message may come twice: with the same
  `id`.
- `url` gets a POST. Its header `Punchd-Signature` is `sha256=` and the HMAC-SHA256 of the body, in hexadecimal,
  with the text of `secret_file` (without spaces or line ends around it) as the key. Compare it before believing
  a message. Any 2xx is success. The secret's file is read anew for each message.
- `command` gets the JSON on its standard input. It has 30 seconds, and neither a shell nor punchd's own
  environment. Exit code 0 is success; what it writes to standard error is logged when it fails.
- What did not get through is tried again with growing pauses, up to 5 minutes, also after a restart, for a
  week. What a receiver itself refuses (a 4xx, another exit code, no end in time) is tried ten times in all.
- What comes and goes is told at most every `gap_minutes`, as it then stands. Of what waits to get out, two
  messages an alarm are kept: the last state is never lost.
- Between the `quiet` hours, in the kiosk's own zone, nothing is told but what the table says comes also then:
  what keeps taps from being stored. The rest comes when they end, unless it is over by then. An expired key is
  no reason to wake anybody: taps are kept, and delivered later.
- After a restart nothing is told twice: what was told and still is wrong stays told, and what is no longer
  wrong is told as over ten minutes after the start, when every part had its chance to notice.
- Telling alarms never holds up taps or delivery; where the database cannot keep what waits, it is told all the
  same.
"""


if __name__ == "__main__":
    print(markdown(), end="")
