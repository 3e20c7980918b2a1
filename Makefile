# Two commands do everything: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# How many interleavings of builds, gc, promotions and kills `make torture` tries.
PHUSA_TORTURE ?= 2000
# How many hostile pages `make fuzz` cleans.
PHUSA_FUZZ ?= 100000

.PHONY: demo test fleet torture fuzz check format install docs
install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/phusa run recipes/demo.yaml

test: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "not fleet"

# Prefect servers with workers and a browser, Ray and Dask clusters, PostgreSQL, 2 000 tasks at once:
# whole runs that are killed, forgotten or scored, training on two devices: twenty minutes that want
# the machine for themselves. And the property tests (hypothesis marks them), on examples drawn anew.
fleet: install
	PHUSA_EXAMPLES=random $(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m "fleet or hypothesis"

torture: install
	PHUSA_TORTURE=$(PHUSA_TORTURE) $(BIN)/python -m pytest tests/storage/torture --capture=no --timeout=0

fuzz: install
	PHUSA_EXAMPLES=random PHUSA_FUZZ=$(PHUSA_FUZZ) $(BIN)/python -m pytest tests/tasks/clean/fuzz --capture=no

check: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install
	$(BIN)/python -m flows.reference > docs/recipes.md
