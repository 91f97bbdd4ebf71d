"""What status shows of delivery."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from daemon.delivery.gate import DeliveryState, Gate
from daemon.timesheets.timesheet import Budget


@dataclass(frozen=True, slots=True)
class DeliveryStatus:
    """Where delivery stands. Times are Unix seconds."""

    state: DeliveryState
    detail: str | None
    budget: dict[str, Any] | None
    snapshot_at: float | None
    last_delivery_at: float | None
    next_try_at: float | None


def status_of(
    gate: Gate, budget: Budget | None, snapshot_at: float | None, last_delivery_at: float | None, now: float
) -> DeliveryStatus:
    """Put it together from what the loop knows."""
    next_try, halt = gate.writes_at(now), gate.halt
    return DeliveryStatus(
        state=gate.state,
        detail=halt.detail if halt else gate.detail,
        budget=asdict(budget) if budget is not None else None,
        snapshot_at=snapshot_at,
        last_delivery_at=last_delivery_at,
        next_try_at=next_try if now < next_try < float("inf") else None,
    )
