"""What each command shows to people, from the API's JSON. Pure; `--json` never comes through here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from daemon.control.render import Look, counted, printable, span

Json = Mapping[str, Any]
_WAYS = {"clock_in": "in", "clock_out": "out"}
_STATE_STYLES = {"online": "good", "offline": "warn", "paused": "warn", "halted": "bad"}


# --- status


def status_screen(status: Json, look: Look) -> str:
    """One screen: is it working, and if not, what to do."""
    advice = advise(status)
    lines = [verdict(status, look), ""]
    lines += [_row(look, name, text) for name, text in _facts(status, look)]
    if advice:
        lines += ["", look.paint("What to do", "strong")]
        for number, text in enumerate(advice, 1):
            first, *rest = look.wrapped(text, "     ").split("\n")
            lines += [f"  {number}. {first.strip()}", *rest]
    return "\n".join(lines)


def verdict(status: Json, look: Look) -> str:
    """The first line, or two where it is long: is it working."""
    state, waiting, review = status["state"], _waiting(status["queue"]), _review(status["queue"])
    name = printable(status["name"])
    online = ", ".join([*([f"{waiting} to deliver"] if waiting else []), *([review] if review else [])])
    said = {
        "online": f"online: {online or 'all that was tapped is on the timesheet'}",
        "offline": f"offline: taps are taken and kept, {waiting or 'nothing'} to deliver when the service is back",
        "paused": f"paused by a person: taps are taken and kept, {waiting or 'nothing'} to deliver",
        "halted": f"HALTED: taps are taken and kept, {waiting or 'nothing'} to deliver, but the service refuses us",
    }.get(state, str(state))
    style = "warn" if state == "online" and advise(status) else _STATE_STYLES.get(state, "warn")
    first, *rest = look.wrapped(f"{name} is {said}", "").split("\n")
    if first.startswith(f"{name} is "):
        first = f"{look.paint(name, 'strong')} is {look.paint(first.removeprefix(f'{name} is '), style)}"
    return "\n".join([first, *(look.paint(line, style) for line in rest)])


def advise(status: Json) -> list[str]:
    """What a person should do, most urgent first; empty when all is well."""
    advice = [f"{alarm['code']}: {alarm['text']}" for alarm in status["alarms"]]
    told = {alarm["code"] for alarm in status["alarms"]}
    if status["state"] == "halted" and not told:
        detail = status.get("detail") or "the service refuses the key or the settings"
        advice.append(f"Delivery has halted: {detail}. Mend it, then: punchctl sync now")
    if not status["clock"]["trusted"] and not any("clock" in code for code in told):
        advice.append("The clock is not trusted yet, so nothing is sent; let the kiosk reach its time server.")
    if status.get("needs_restart"):
        keys = ", ".join(status["needs_restart"])
        advice.append(f"The configuration changed in what only a restart takes up ({keys}): systemctl restart punchd")
    for reader in status["readers"]:
        if reader["state"] != "open" and not any(reader["name"] in alarm["text"] for alarm in status["alarms"]):
            detail = f" ({reader['detail']})" if reader.get("detail") else ""
            advice.append(f"Reader {reader['name']} is {reader['state']}{detail}: check its cable; punchctl readers")
    if not status["readers"]:
        advice.append("No reader is configured: add [[readers]] to the configuration.")
    if status["queue"]["review"] and "review_waiting" not in told:
        advice.append(f"{_review(status['queue'])}: punchctl review list")
    if status["state"] == "paused":
        advice.append("Delivery is paused: punchctl sync resume")
    return advice


def _facts(status: Json, look: Look) -> list[tuple[str, str]]:
    queue, clock = status["queue"], status["clock"]
    counts = " · ".join(
        f"{queue[key]} {word}"
        for key, word in (("pending", "pending"), ("held", "held"), ("in_flight", "in flight"), ("review", "in review"))
    )
    oldest = f"oldest {look.when(queue['oldest_pending_at'])}" if queue["oldest_pending_at"] else ""
    facts = [("queue", counts), ("", oldest), ("delivered", look.when(status["last_delivery_at"]))]
    if status["next_try_at"]:
        facts.append(("next try", look.when(status["next_try_at"])))
    if status["detail"]:
        facts.append(("delivery", status["detail"]))
    facts.append(("server seen", look.when(status["snapshot_at"])))
    facts.append(("budget", _budget(status["budget"])))
    facts.append(("clock", _clock(clock)))
    for i, reader in enumerate(status["readers"]):
        since = f" since {look.when(reader['since'])}" if reader["since"] else ""
        facts.append(
            (
                "" if i else "readers",
                f"{reader['name']} ({reader['driver']}) {reader['state']}{since}, {counted(reader['taps'], 'tap')}",
            )
        )
    facts.append(("running", f"{span(status['uptime_s'])}, punchd {status['version']}, {status['timezone']}"))
    return [(name, text) for name, text in facts if text]


def _row(look: Look, name: str, text: str) -> str:
    first, *rest = look.wrapped(text, " " * 14).split("\n")
    return "\n".join([f"  {look.paint(f'{name:<12}', 'dim')}{first[14:]}", *rest])


def _waiting(queue: Json) -> str:
    count = queue["pending"] + queue["held"] + queue["in_flight"]
    return counted(count, "punch", "punches") if count else ""


def _review(queue: Json) -> str:
    count = queue["review"]
    return counted(count, "punch needs a person", "punches need a person") if count else ""


def _clock(clock: Json) -> str:
    if clock["doubt_s"] is not None:
        return f"doubted: the service's clock differs by {clock['doubt_s']:+.0f} s"
    if not clock["trusted"]:
        return "not trusted yet"
    error = f", within {clock['error_s']:g} s" if clock["error_s"] is not None else ""
    return f"trusted ({clock['source']}{error})"


def _budget(budget: Json | None) -> str:
    """The service's limits, as far as they are known: what is left of how much."""
    if not budget:
        return "not known yet"
    parts = []
    for span_name, word in (("minute", "this minute"), ("day", "today")):
        left, limit = budget.get(f"{span_name}_remaining"), budget.get(f"{span_name}_limit")
        if left is not None:
            parts.append(f"{left} of {limit} requests left {word}" if limit else f"{left} requests left {word}")
    return ", ".join(parts) or ", ".join(f"{key} {value}" for key, value in budget.items() if value is not None)


# --- lists


def present_screen(people: Sequence[Json], look: Look) -> str:
    """Who is in."""
    if not people:
        return "Nobody is in, as far as this kiosk knows."
    rows = [[person["name"], person["user_id"], look.short(person["since"])] for person in people]
    return look.table(("NAME", "USER_ID", "IN SINCE"), rows, (0,))


def punches_screen(punches: Sequence[Json], look: Look) -> str:
    """Punches, one a line."""
    if not punches:
        return "No punches."
    rows = [
        [
            punch["id"],
            look.short(punch["occurred_at"]),
            punch["name"],
            _WAYS.get(punch["direction"], "?"),
            stand(punch),
        ]
        for punch in punches
    ]
    return look.table(("ID", "TAPPED", "NAME", "", "STATE"), rows, (2, 4))


def stand(punch: Json) -> str:
    """Where a punch stands, and why."""
    return f"{punch['state']}: {punch['reason']}" if punch["reason"] else str(punch["state"])


def punch_screen(punch: Json, look: Look) -> str:
    """One punch and everything that happened to it."""
    lines = [_headline(punch, look)]
    facts = [
        ("state", stand(punch)),
        ("recorded as", f"{punch['recorded_as']} {punch['remote_id'] or ''}" if punch["recorded_as"] else ""),
        ("reader", punch["reader"] or f"none: {punch['source']}"),
        ("badge", punch["badge"] or ""),
        ("clock said", look.exact(punch["raw_at"]) if punch["raw_at"] != punch["occurred_at"] else ""),
        ("detail", punch["detail"] or ""),
        ("meaning", punch.get("text") or ""),
        ("remedy", punch.get("remedy") or ""),
    ]
    lines += [_row(look, name, text) for name, text in facts if text]
    history = punch["history"]
    # Within one second what settles a request comes after it.
    told = [
        (line["at"], 2 if (line.get("data") or {}).get("from") == "in_flight" else 0, _journal_line(line))
        for line in history["journal"]
    ]
    told += [(attempt["sent_at"], 1, _attempt_line(attempt)) for attempt in history["attempts"]]
    if told:
        lines += ["", look.paint("History", "strong")]
        for at, _, text in sorted(told, key=lambda entry: (entry[0] or "", entry[1])):
            first, *rest = look.wrapped(text, " " * 18).split("\n")
            lines += [f"  {look.exact(at):<16}{first[18:]}", *rest]
    return "\n".join(lines)


def _journal_line(line: Json) -> str:
    data = ", ".join(f"{key} {value}" for key, value in (line.get("data") or {}).items() if value is not None)
    return f"{line['action']} by {line['by']}" + (f": {data}" if data else "")


def _attempt_line(attempt: Json) -> str:
    outcome = attempt["outcome"] or "answer not known"
    status = f" ({attempt['status']})" if attempt["status"] else ""
    detail = f": {attempt['detail']}" if attempt["detail"] else ""
    return f"sent {attempt['kind']}, {outcome}{status}{detail}"


def _headline(punch: Json, look: Look) -> str:
    way = {"clock_in": "clock-in", "clock_out": "clock-out"}.get(punch["direction"], "punch")
    whose = look.wrapped(f"{punch['id']}  {punch['name']} ({punch['user_id']}) {way}").split("\n")
    lines = [look.paint(line, "strong") for line in whose]
    return "\n".join([*lines, f"  tapped {look.when(punch['occurred_at'])}"])


def review_screen(punches: Sequence[Json], look: Look) -> str:
    """What needs a person, with what each reason means and what mends it."""
    if not punches:
        return "Nothing needs a person."
    blocks = []
    for punch in punches:
        lines = [_headline(punch, look), look.wrapped(f"{punch['reason']}: {punch['text'] or ''}", "    ")]
        lines += [look.wrapped(f"the service said: {punch['detail']}", "    ")] if punch["detail"] else []
        lines += [look.wrapped(f"-> {punch['remedy']}", "    ")] if punch["remedy"] else []
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks)


def forgotten(one: Any, look: Look) -> str:
    """What was erased of a person, what was kept and why, and what this cannot reach."""
    did = one["forgotten"]
    blocked = f"; {did['blocked_badges_kept']} blocked, without an owner" if did["blocked_badges_kept"] else ""
    told = (
        f"forgotten: {one['user_id']}",
        f"erased: the name, {did['badges']} badges wherever they stood{blocked}, {did['journal_lines']} lines' data in "
        f"the journal, {did['taps_deleted']} taps that came to nothing",
        f"kept: {did['punches_kept']} punches with user_id, time and direction, because hours worked must be kept by "
        f"law; {did['undelivered']} of them are still to be delivered",
        "not here: the timesheet, the system's log, backups and exports; see docs/privacy.md",
    )
    return "\n".join(look.wrapped(line) for line in told)


def employees_screen(employees: Sequence[Json], look: Look) -> str:
    """The directory."""
    if not employees:
        return "The directory is empty: punchctl employees import FILE.csv"
    rows = [[one["user_id"], one["name"], " ".join(one["badges"]), one["job_id"]] for one in employees]
    return look.table(("USER_ID", "NAME", "BADGES", "JOB_ID"), rows, (1, 3, 2))


def badges_screen(badges: Sequence[Json], look: Look) -> str:
    """Badges and who has them."""
    if not badges:
        return "No badges: punchctl badges assign BADGE USER_ID"
    rows = [[one["badge"], one["state"], one["user_id"], one["name"], look.short(one["since"])] for one in badges]
    return look.table(("BADGE", "STATE", "USER_ID", "NAME", "SINCE"), rows, (3, 0))


def unknown_screen(unknown: Sequence[Json], look: Look) -> str:
    """Badges nobody owns."""
    if not unknown:
        return "No unknown badge was tapped."
    rows = [[one["badge"], str(one["taps"]), look.short(one["last_at"]), one["reader"]] for one in unknown]
    table = look.table(("BADGE", "TAPS", "LAST TAP", "READER"), rows, (3, 0))
    return table + "\n\nGive one to its owner: punchctl badges assign BADGE USER_ID"


def readers_screen(readers: Sequence[Json], look: Look) -> str:
    """Each reader, with what is wrong where something is."""
    if not readers:
        return "No reader is configured."
    rows = [
        [
            one["name"],
            one["driver"],
            one["direction"],
            one["state"],
            look.short(one["since"]),
            str(one["taps"]),
            str(one["errors"]),
        ]
        for one in readers
    ]
    table = look.table(("NAME", "DRIVER", "DIRECTION", "STATE", "SINCE", "TAPS", "ERRORS"), rows, (0,))
    notes = [look.wrapped(f"{one['name']}: {one['detail']}") for one in readers if one["detail"]]
    return "\n\n".join([table, *notes])


# --- answers


def tap_screen(answer: Json, look: Look) -> str:
    """What became of a tap."""
    punch, result = answer["punch"], answer["result"]
    reason = f" ({answer['reason']})" if answer["reason"] else ""
    if punch is None:
        # Here and not on top: no other screen needs the list.
        from daemon.reasons import REASONS

        known = REASONS.get(answer["reason"] or "")
        told = [f"{result}{reason}: {known.text}" if known else f"{result}{reason}"]
        told += [f"-> {known.remedy}"] if known and result != "repeat" else []
        return "\n".join(look.wrapped(line, "  " * number) for number, line in enumerate(told))
    way = {"clock_in": "in", "clock_out": "out"}.get(punch["direction"], "in or out, not decided yet")
    return look.wrapped(
        f"{result}{reason}: {punch['name']} {way} at {look.exact(punch['occurred_at'])}, punch {punch['id']}"
    )


def event_line(event: Json, look: Look) -> str:
    """One event on one line."""
    data = " ".join(f"{key}={_short(value)}" for key, value in event["data"].items() if value is not None)
    return f"{look.exact(event['at']):<8}  {look.paint(event['event'], 'strong')}  {printable(data)}".rstrip()


def _short(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(value.get("id") or value.get("user_id") or value.get("name") or "…")
    return str(value)


def delivery_screen(delivery: Json, look: Look) -> str:
    """How delivery stands after it was told something."""
    detail = f": {delivery['detail']}" if delivery["detail"] else ""
    next_try = f", next try {look.when(delivery['next_try_at'])}" if delivery["next_try_at"] else ""
    return look.wrapped(f"delivery is {delivery['state']}{detail}{next_try}")


def key_screen(checked: Json, look: Look) -> str:
    """Whether the service takes the key."""
    style = {True: "good", False: "bad"}.get(checked["valid"], "warn")
    lines = [look.paint(look.wrapped(printable(checked["text"])), style)]
    lines += ["The key in the file was another one than before; it is in use now."] if checked["changed"] else []
    lines += [look.wrapped(f"-> {checked['remedy']}", "  ")] if checked["remedy"] else []
    return "\n".join(lines)
