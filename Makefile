PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed
# The versions in poetry.lock, as pip takes them.
CONSTRAINTS := import tomllib; \
	print(*map("{0[name]}=={0[version]}".format, tomllib.load(open("poetry.lock", "rb"))["package"]), sep="\n")

.PHONY: .venv demo test test-all stress check lint-fix bench

.venv: $(STAMP)

$(STAMP): pyproject.toml poetry.lock
	$(PYTHON) -m venv .venv
	$(BIN)/python -c '$(CONSTRAINTS)' >.venv/constraints.txt
	$(BIN)/pip install -q -e '.[dev]' -c .venv/constraints.txt
	touch $@

demo: $(STAMP)
	$(BIN)/python examples/demo.py

test: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

# The same, each test on all four servers: Redis 6.2, 7.0, 8.2 and Valkey 9.1.
test-all: $(STAMP)
	TEST_SERVERS=all $(BIN)/python -m pytest -n auto --dist worksteal

# Faults, malformed input and load, longer than `make test` tries them; STRESS_SEED=… repeats a run.
stress: $(STAMP)
	STRESS=full $(BIN)/python -m pytest integration_tests -m stress -n auto -v -rP

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks.bench
	$(BIN)/python -m benchmarks.cluster
	$(BIN)/python -m benchmarks.data_types
	$(BIN)/python -m benchmarks.tables
