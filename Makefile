# Two commands do everything on a fresh machine: `make demo` and `make test`. Each makes .venv and installs into it.
PYTHON ?= python3
BIN := .venv/bin
TOGETHER := -n auto --maxprocesses 4 --dist loadgroup  # processes of the tests: one a core, four at most for their memory

.PHONY: demo test test-oldest check docs results coverage faults ray slow fuzz year audit bench bench-gpu clean

demo: .venv/installed
	$(BIN)/python examples/demo.py demo

test: check
	$(BIN)/pytest $(TOGETHER)

# The lowest version that pyproject.toml allows of each package, in an environment of its own; what those versions warn of
# is theirs.
test-oldest: .venv-oldest/installed
	.venv-oldest/bin/pytest $(TOGETHER) -W default

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# Every table of docs/results.md, in a day on two cores: make results LNSIM=FOLDER WEIGHTS=FILE
results: .venv/installed
	$(BIN)/python benchmarks/lnsim_table.py --root $(LNSIM) --weights $(WEIGHTS)
	$(BIN)/python benchmarks/lnsim_sweeps.py --root $(LNSIM) --weights $(WEIGHTS)
	$(BIN)/python benchmarks/learning_curve.py --features runs/lnsim/standard.h5 --out runs/curve
	$(BIN)/python benchmarks/compare_power.py --worlds 300

docs: .venv/installed
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

coverage: .venv/installed
	$(BIN)/pytest $(TOGETHER) --cov --cov-report=term-missing:skip-covered

faults: .venv/installed
	$(BIN)/pytest -m faults tests/faults

# Whole commands in several processes, compiled heads, the demo's attention.
slow: .venv/installed
	$(BIN)/pytest -m slow

# Two and four workers of a real Ray on this machine, and one killed in the middle.
ray: .venv/installed
	$(BIN)/pytest -m 'ray or not ray' tests/engines

# A library of 365 nights, and commands killed at every call to the disk: minutes.
year: .venv/installed
	AMNET_NIGHTS=365 AMNET_ALL_CALLS=1 $(BIN)/pytest tests/extract/test_year.py

# Hours, if you have them: AMNET_FUZZ_EXAMPLES is the number of files for each reader.
fuzz: export AMNET_FUZZ_EXAMPLES ?= 2000
fuzz: .venv/installed
	$(BIN)/pytest tests/fuzz

audit: .venv/installed
	$(BIN)/python .ci/audit.py

bench: .venv/installed
	$(BIN)/python benchmarks/suite.py

bench-gpu: .venv/installed
	$(BIN)/python benchmarks/suite.py --device cuda

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

.venv-oldest/installed: pyproject.toml
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python tests/support/lowest_versions.py > .venv-oldest/constraints.txt
	.venv-oldest/bin/python -m pip install --quiet --constraint .venv-oldest/constraints.txt --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv .venv-oldest demo site build *.egg-info
