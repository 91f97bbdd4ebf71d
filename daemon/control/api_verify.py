"""Whether what is stored is still what was stored."""

from __future__ import annotations

from daemon.control.call import Answer, Call, Document
from daemon.queue.verify import Verification


async def api_verify(call: Call) -> Answer:
    """Every punch and kept tap held against the chain of digests, a page a hop, so that no tap waits for it."""
    call.filters()
    verification = Verification()
    while await call.kiosk.database.read(verification.page):
        pass
    return Document({**verification.document(), "copy_trouble": call.kiosk.database.copy_trouble})
