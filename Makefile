# Everything a developer runs. `make demo` and `make test` start from a bare checkout.

PY := .venv/bin/python
# One at a time: several people, or runs, may share a checkout.
ALONE := flock Makefile
PIP := $(ALONE) $(PY) -m pip --disable-pip-version-check --quiet install

.PHONY: help setup demo test check install test-vm crash damage mutants bench simulate fuzz spins

help:
	@echo 'make setup   .venv with punchd and punchctl; needs Python >= 3.11, no root, no compiler'
	@echo 'make demo    people tap while the network breaks; prints the timesheet beside what was tapped'
	@echo 'make test    the whole suite, with a real pcscd and virtual cards; installs what it needs on Debian'
	@echo 'make check   format, lint, types, import rules, the systemd unit'
	@echo 'make install where a kiosk looks for it (PREFIX=/usr/local, DESTDIR=, PYTHON=/usr/bin/python3); see docs/kiosk.md'
	@echo 'make crash   a kill at every write, sync and send of a day at the door; some ten minutes'
	@echo 'make simulate the whole product, WEEKS=300 kiosk-weeks from SEED=1 in virtual time; some ten minutes'
	@echo 'make mutants breaks every guard on purpose, one after another, and tells which test notices; about an hour'
	@echo 'make damage  a flipped byte at every place of the database, its log and its copy (SEED=1); an hour or so'
	@echo 'make spins   an hour of delivery in every three of its states, and in hundreds of larger combinations; some minutes'
	@echo 'make fuzz    hostile input to every boundary, over 100,000 in all (SEED=n repeats a run); some twenty minutes'
	@echo 'make kills   SIGKILL at random moments under load (KILLS=500 SEED=1); some ten minutes'
	@echo 'make powercuts   the plug is pulled at random moments, on an ext4 of its own (CUTS=200 SEED=1); root; some ten minutes'
	@echo 'make diskfaults   an I/O error at any write and sync; disks that fill up and turn read-only (ROUNDS=60 SEED=1); root'
	@echo 'make bench   what things cost, as ratios against baselines of the same run; some fifteen minutes'
	@echo 'make test-vm a whole kiosk in a virtual machine: systemd, USB readers, unplugging, power cuts; some minutes'

setup: .venv/.setup

# The stamps make each target a no-op until what it depends on changes.
.venv/.setup: pyproject.toml Makefile tools/make-venv
	@$(ALONE) tools/make-venv
	@$(PIP) --editable .
	@touch $@

.venv/.check: .venv/.setup
	@$(PIP) --editable '.[check,test]'
	@touch $@

.venv/.test: .venv/.check
	@$(PIP) --editable '.[nfc,scanner,test]'
	@touch $@

demo: setup
	@.venv/bin/punchd demo

# Two runs share the tests, whatever the number of processors: while one computes the other waits for a disk or a process.
SIDE_BY_SIDE ?= --numprocesses=2 --dist=worksteal
# Asked on every run: packages may have been removed since; it only looks where nothing is missing.
test: .venv/.setup
	@tools/system-packages
	@$(MAKE) --no-print-directory .venv/.test
	@$(PY) -m pytest $(SIDE_BY_SIDE)

check: .venv/.check
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@$(PY) -m pytest -q tests/unit/test_import_rules.py tests/unit/test_unit_file.py

PREFIX ?= /usr/local
DESTDIR ?=
install:
	@tools/install '$(PREFIX)' '$(DESTDIR)'

# Not part of `make test`: it takes minutes, and 400 MB once. The file's name keeps it out of every other run.
test-vm: .venv/.check
	@$(PY) -m pytest tests/vm/kiosk_in_a_machine.py

# `make test` tries a spread of these.
crash: .venv/.test
	@CRASH_STEPS=all $(PY) -m pytest tests/acceptance/test_kill_at_every_step.py

# Any numbers: one seed is one week, the same to the byte. `make test` lives through a few of them.
WEEKS ?= 300
SEED ?= 1
simulate: .venv/.check
	@$(PY) -m tests.simulation.weeks run --weeks $(WEEKS) --seed $(SEED)

# `make test` holds that each still fits the code (tests/unit/test_mutants.py). For one table, or without simulated
# weeks: MUTANTS='lanes --fast'.
mutants: .venv/.test
	@$(PY) -m tests.mutants $(MUTANTS)

# `make test` tries every pair.
spins: .venv/.test
	@PUNCHD_SPINS=long $(PY) -m pytest -q -o timeout=0 tests/integration/delivery/test_never_spins.py

# `make test` tries some of each. Equal seeds are equal runs.
fuzz: .venv/.test
	@echo 'seed $(SEED)'
	@PUNCHD_FUZZ=long $(PY) -m pytest tests/fuzz -o timeout=0 --hypothesis-seed=$(SEED)

# `make test` tries a spread of these.
damage: .venv/.test
	@DAMAGE=all SEED=$(SEED) $(PY) -m pytest -o timeout=0 tests/integration/test_damage.py

# `make test` runs a few of each (tests/acceptance/test_crashes.py).
KILLS ?= 500
CUTS ?= 200
ROUNDS ?= 60
.PHONY: kills powercuts diskfaults
kills: .venv/.test
	@$(PY) -m tests.crashes.kills --kills $(KILLS) --seed $(SEED)

powercuts: .venv/.test
	@$(PY) -m tests.crashes.powercuts --cuts $(CUTS) --seed $(SEED)

diskfaults: .venv/.test
	@$(PY) -m tests.crashes.errors
	@$(PY) -m tests.crashes.faults --rounds $(ROUNDS) --seed $(SEED)

# `make test` only shows that each figure can be taken (tests/integration/test_benchmarks.py).
bench: .venv/.test
	@$(PIP) --editable '.[bench]'
	@$(PY) -m benchmarks
