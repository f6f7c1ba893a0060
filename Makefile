# Two commands do everything on a fresh machine: `make demo` and `make test`. Each makes .venv and installs into it.
PYTHON ?= python3
BIN := .venv/bin
TOGETHER := -n auto --maxprocesses 4  # processes of the tests: one a core, four at most for their memory

.PHONY: demo test check coverage faults bench bench-gpu clean

demo: .venv/installed
	$(BIN)/python examples/demo.py demo

test: check
	$(BIN)/pytest $(TOGETHER)

check: .venv/installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

coverage: .venv/installed
	$(BIN)/pytest $(TOGETHER) --cov --cov-report=term-missing:skip-covered

faults: .venv/installed
	$(BIN)/pytest -m faults tests/faults

bench: .venv/installed
	$(BIN)/python benchmarks/suite.py

bench-gpu: .venv/installed
	$(BIN)/python benchmarks/suite.py --device cuda

.venv/installed: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	touch $@

clean:
	rm -rf .venv demo build *.egg-info
