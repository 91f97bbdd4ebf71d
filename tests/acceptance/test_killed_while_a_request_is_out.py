"""What was written down before a request left is all that protects it where the timesheet shows it only later."""

from __future__ import annotations

import tempfile
from pathlib import Path

from sandbox.tally import Meaning, Tapped
from tests.support.door import Control, disagreements, door, rows, second
from tests.support.nursery import Nursery
from tests.support.sandbox_process import sandbox_process

#: The timesheet shows a write after so long: far longer than from a kill to the first read of the next start.
SHOWN_AFTER_S = 2.0
#: What may have been done is looked up later than that.
LATER = "settle_seconds = 2.5\nbackoff_max_seconds = 0.2\ntimeout_seconds = 30\nrequests_per_minute = 10000"


def test_a_request_that_was_out_at_a_kill_is_not_sent_again_blindly():
    """SIGKILL while the service has recorded a clock-in: one stands there in the end, although the first reads of the
    next start show none."""
    with (
        tempfile.TemporaryDirectory(prefix="out") as name,
        sandbox_process(Path(name) / "sandbox", "--empty") as sandbox,
    ):
        sandbox.admin.post("/users", user_id=7, name="Anna")
        # The harsher reading (facts 5, U9): a request sent twice becomes two shifts.
        sandbox.admin.post("/behaviour", second_clock_in="second_shift", visible_after_s=SHOWN_AFTER_S)
        sandbox.admin.fault(path="*/clock-in", hold=True, when="after", count=1)
        kiosk, log, nursery = door(Path(name) / "kiosk", sandbox.url, more=LATER), Path(name) / "log", Nursery()
        try:
            punchd = nursery.start(kiosk.config, log)
            with Control(kiosk) as control:
                control.post("employees", user_id="7", name="Anna", badge="04A2B3C4")
                at = second()
                assert control.tap("04A2B3C4")["result"] == "accepted"
                sandbox.admin.wait(path="*/clock-in", state="held")
            punchd.killed()
            punchd = nursery.start(kiosk.config, log)
            with Control(kiosk) as control:
                status = control.settled()
            assert punchd.stopped() == 0
        finally:
            nursery.close()
        assert status["queue"]["review"] == 0
        assert disagreements([Tapped("7", "Anna", Meaning.COMES, at, at + 1)], rows(sandbox.admin.timesheet())) == []
