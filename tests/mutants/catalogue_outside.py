"""Mutants of what scripts and owners rely on from outside: exit codes, the configuration, the sockets, the commands."""

from __future__ import annotations

from functools import partial

from tests.mutants.mutant import Mutant
from tests.mutants.tests_of import COMMANDS, CONFIG, PROCESS, SALVAGE, SOCKETS

_outside = partial(Mutant, table="the outside")

_UNASKED = "simulated weeks run no commands"
_HANDLERS = "simulated weeks call the routes' handlers, not the sockets"

MUTANTS = (
    _outside(
        id="unreachable-is-a-refusal",
        row="exit codes",
        breaks="punchctl says 1, a refusal, where no daemon answers: scripts give up where they should try again.",
        file="daemon/control/cli.py",
        before="REFUSED, USAGE, UNREACHABLE, CONFIGURATION = 1, 2, 69, 78",
        after="REFUSED, USAGE, UNREACHABLE, CONFIGURATION = 1, 2, 1, 78",
        proofs=(f"{COMMANDS}::test_no_daemon_is_69_with_a_remedy",),
        unseen=_UNASKED,
    ),
    _outside(
        id="check-always-content",
        row="exit codes",
        breaks="punchd check names the problems and ends with 0: a script installs the wrong file.",
        file="daemon/cli.py",
        before="sys.exit(EXIT_CONFIGURATION if problems else 0)",
        after="sys.exit(0)",
        proofs=(f"{PROCESS}::test_a_bad_configuration_ends_with_78_and_all_problems",),
        unseen=_UNASKED,
    ),
    _outside(
        id="loss-ends-with-0",
        row="exit codes",
        breaks="punchd salvage ends with 0 although punches are lost or altered.",
        file="daemon/rescue.py",
        before="return 1 if report.lost_total or report.altered_total else 0",
        after="return 0",
        proofs=(f"{SALVAGE}::test_a_loss_is_told_by_the_exit_code_as_well",),
        unseen=_UNASKED,
    ),
    _outside(
        id="unknown-key-ignored",
        row="an unknown key is an error",
        breaks="A misspelt key is passed over, and its default holds without a word.",
        file="daemon/config_read.py",
        before='raw.problems.append(_unknown_key(raw, section, f"{where}.{name}", name))',
        after="continue",
        proofs=(f"{CONFIG}::test_an_unknown_key_names_the_nearest_known_one",),
        unseen="simulated weeks read no configuration file",
    ),
    _outside(
        id="refusal-under-another-type",
        row="a refusal is a problem document",
        breaks="Refusals of the sockets come as plain JSON: a script cannot tell them from answers by their type.",
        file="daemon/control/problems.py",
        before='"application/problem+json"',
        after='"application/json"',
        proofs=(f"{SOCKETS}::test_every_refusal_is_a_problem_document",),
        unseen=_HANDLERS,
    ),
    _outside(
        id="control-socket-open-to-the-group",
        row="the sockets' modes",
        breaks="control.sock is open to the service's whole group although no admin group was named.",
        file="daemon/control/server.py",
        before="0o660 if self._admin_group else 0o600",
        after="0o660",
        proofs=(f"{SOCKETS}::test_modes_are_exact_whatever_the_umask",),
        unseen=_HANDLERS,
    ),
    _outside(
        id="sockets-open-for-a-moment",
        row="the sockets' modes",
        breaks="A socket gets its name first and its mode afterwards: whoever is quick acts as an administrator.",
        file="daemon/control/sockets.py",
        before="        os.chmod(beside, mode)\n"
        "        if group is not None:\n"
        "            os.chown(beside, -1, grp.getgrnam(group).gr_gid)\n"
        "        sock.listen(BACKLOG)\n"
        "        inode = beside.stat().st_ino\n"
        "        beside.rename(path)\n",
        after="        sock.listen(BACKLOG)\n"
        "        inode = beside.stat().st_ino\n"
        "        beside.rename(path)\n"
        "        os.chmod(path, mode)\n"
        "        if group is not None:\n"
        "            os.chown(path, -1, grp.getgrnam(group).gr_gid)\n",
        proofs=(f"{SOCKETS}::test_they_are_never_open_to_others_not_for_a_moment",),
        unseen=_HANDLERS,
    ),
    _outside(
        id="live-sockets-taken-away",
        row="one instance runs",
        breaks="A second punchd with a state directory of its own takes the sockets of the one that runs.",
        file="daemon/control/sockets.py",
        before="        _refuse_if_taken(path)\n",
        after="",
        proofs=(f"{SOCKETS}::test_a_live_daemon_keeps_its_sockets",),
        unseen="a simulated kiosk runs one punchd",
    ),
    _outside(
        id="salvaged-under-a-running-service",
        row="one instance runs",
        breaks="punchd salvage moves the files away from under a service that is taking taps.",
        file="daemon/rescue.py",
        before="with nullcontext() if dry_run else InstanceLock(path.parent), explained(path):",
        after="with nullcontext(), explained(path):",
        proofs=(f"{SALVAGE}::test_a_service_that_runs_keeps_its_database",),
        unseen=_UNASKED,
    ),
    _outside(
        id="daemons-own-uid-journalled",
        row="acting is journalled with the peer's uid",
        breaks="The journal names the service's own user for what anybody did.",
        file="daemon/control/sockets.py",
        before="    return int(uid)\n",
        after="    return os.getuid()\n",
        proofs=(f"{SOCKETS}::test_the_peers_uid_is_journalled",),
        unseen=_HANDLERS,
    ),
    _outside(
        id="refused-without-a-document",
        row="--json is one document",
        breaks="With --json a refusal prints nothing at all: a script has nothing to read the reason from.",
        file="daemon/control/cli.py",
        before="    if run.json:\n        print_json(problem)\n",
        after="",
        proofs=(f"{COMMANDS}::test_a_refusal_is_1_with_its_reason",),
        unseen=_UNASKED,
    ),
)
