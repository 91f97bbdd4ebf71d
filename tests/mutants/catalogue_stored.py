"""Mutants of what vouches for the stored punches: the chain, its verification, the second copy, and a salvage."""

from __future__ import annotations

from functools import partial

from tests.mutants.mutant import Mutant
from tests.mutants.tests_of import CHAIN, COPYING, DAMAGE, SALVAGE, SYNC, WORDS

_stored = partial(Mutant, table="what is stored")

_CHAIN = "daemon/queue/chain.py"
_VERIFY = "daemon/queue/verify.py"
_COPYING = "daemon/queue/copying.py"
_SALVAGE = "daemon/queue/salvage.py"

_SOUND = "no simulated disk changes or loses what was synced"
_WHOLE = "nothing is salvaged in simulated weeks"

MUTANTS = (
    _stored(
        id="links-not-chained",
        row="a silent change shows",
        breaks="A link says nothing of the one before it: who changes a punch computes one link anew, and nobody sees.",
        file=_CHAIN,
        before='hashlib.sha256(b"|".join((before, named, digested)))',
        after='hashlib.sha256(b"|".join((named, digested)))',
        proofs=(f"{CHAIN}::test_a_link_made_anew_for_a_changed_punch_breaks_the_chain_behind_it",),
        unseen=_SOUND,
    ),
    _stored(
        id="unfinished-looked-at-in-part",
        row="a silent change shows",
        breaks="A start looks at the first page alone of what is still to be delivered: damage behind it is sent.",
        file=_VERIFY,
        before="while rows := conn.execute(_UNFINISHED, (seq, PAGE)).fetchall():",
        after="if rows := conn.execute(_UNFINISHED, (seq, PAGE)).fetchall():",
        proofs=(f"{CHAIN}::test_unfinished_punches_are_checked_alone",),
        unseen=_SOUND,
    ),
    _stored(
        id="damaged-end-followed",
        row="a silent change shows",
        breaks="A start goes on behind a last link that does not follow: what comes next is linked to damage.",
        file=_VERIFY,
        before='return right != b"" and bool(hashed == right)',
        after="return True",
        proofs=(f"{WORDS}::test_the_last_link_is_looked_at_before_anything_follows_it",),
        unseen=_SOUND,
    ),
    _stored(
        id="same-salt-for-all",
        row="an erased badge cannot be guessed",
        breaks="Every link has the same salt: what is left of an erased punch tells its badge to whoever tries all.",
        file=_CHAIN,
        before="salt = os.urandom(16)",
        after="salt = bytes(16)",
        proofs=(f"{CHAIN}::test_erasing_on_request_is_told_from_change_and_leaves_nothing_to_guess_from",),
        unseen="no simulated week tries to guess what was erased",
    ),
    _stored(
        id="pushed-place-called-damage",
        row="what changes for a reason is no damage",
        breaks="A punch whose time is unknown, and that gave way to others in its lane, counts as changed.",
        file=_CHAIN,
        before="kept[_ORDER] = None",
        after="pass",
        proofs=(f"{CHAIN}::test_a_place_that_others_push_about_is_no_change",),
    ),
    _stored(
        id="copy-not-synced",
        row="the second copy follows, and costs no tap",
        breaks="A punch is acknowledged while the second copy has it in memory alone.",
        file=_COPYING,
        before="if sync and new.facts:",
        after="if False:",
        proofs=(f"{SYNC}::test_every_punch_is_in_the_synced_copy_before_it_is_acknowledged",),
    ),
    _stored(
        id="full-stick-refuses-taps",
        row="the second copy follows, and costs no tap",
        breaks="Where the copy's medium is full or fails, a punch that the database has is refused.",
        file=_COPYING,
        before="                    pass\n        except (OSError, sqlite3.Error) as error:",
        after="                    pass\n        except sqlite3.Error as error:",
        proofs=(f"{COPYING}::test_a_full_medium",),
    ),
    _stored(
        id="copy-deaf-after-pruning",
        row="the second copy follows, and costs no tap",
        breaks="Once the journal's newest lines were pruned, the copy hears no more how deliveries end.",
        file=_COPYING,
        before="if reach.line < self._reach.line:",
        after="if False:",
        proofs=(f"{COPYING}::test_what_follows_a_pruned_end_of_the_journal_is_told",),
        unseen="upkeep is not run in simulated weeks",
    ),
    _stored(
        id="older-database-goes-on",
        row="what only the second copy has comes back",
        breaks="A database that lost its newest punches goes on without them, beside a copy that has them.",
        file=_COPYING,
        before='if record["n"] > reach.link or linked.get(',
        after="if linked.get(",
        proofs=(f"{DAMAGE}::test_what_is_replaced_or_gone",),
        unseen=_SOUND,
    ),
    _stored(
        id="rebuilt-without-a-look",
        row="a salvage makes nothing worse",
        breaks="A rebuilt database takes the old one's place unexamined, whatever went wrong with the rebuilding.",
        file=_SALVAGE,
        before="            _examine(conn)\n        if not keep:",
        after="        if not keep:",
        proofs=(f"{SALVAGE}::test_what_was_built_and_is_not_sound_takes_nobodys_place",),
        unseen=_WHOLE,
    ),
    _stored(
        id="rebuilt-not-synced",
        row="a salvage makes nothing worse",
        breaks="A rebuilt database gets its name before the disk has it: after a power cut there is half of one.",
        file=_SALVAGE,
        before="            os.fsync(fd)\n        finally:\n            os.close(fd)\n        os.rename",
        after="            pass\n        finally:\n            os.close(fd)\n        os.rename",
        proofs=(f"{SALVAGE}::test_what_is_built_is_on_the_disk_before_it_gets_a_name_that_counts",),
        unseen=_WHOLE,
    ),
    _stored(
        id="half-a-salvage-forgotten",
        row="a salvage makes nothing worse",
        breaks="After a power cut in the middle of a salvage punchd salvage finds nothing, with all of it lying there.",
        file="daemon/rescue.py",
        before="            finish(path)\n",
        after="            pass\n",
        proofs=(f"{SALVAGE}::test_the_command_goes_on_where_a_power_cut_left_a_salvage",),
        unseen=_WHOLE,
    ),
    _stored(
        id="salvaged-sent-blindly",
        row="a salvage makes nothing worse",
        breaks="What may have been out when the disk was damaged is sent again, not looked up.",
        file="daemon/queue/resuming.py",
        before='row |= {"state": "in_flight"}',
        after='row |= {"state": "pending"}',
        proofs=(f"{SALVAGE}::test_nothing_that_may_have_been_sent_is_sent_blindly",),
        unseen=_WHOLE,
    ),
    _stored(
        id="altered-tap-believed",
        row="a salvage makes nothing worse",
        breaks="A kept tap that damage has changed is brought back, of another time or person.",
        file="daemon/queue/salvaged_taps.py",
        before="return 0 if link is None and told is None else None",
        after="return 0",
        proofs=(f"{SALVAGE}::test_an_altered_kept_tap_comes_from_the_copy_or_is_left_out_and_named",),
        unseen=_WHOLE,
    ),
)
