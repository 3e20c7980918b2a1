# Two commands do everything: `make demo` and `make test`. Both set up .venv first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# How many interleavings of builds, gc, promotions and kills `make torture` tries.
PHUSA_TORTURE ?= 2000

.PHONY: demo test soak torture check format install docs
install: $(VENV)/installed

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

demo: install
	$(BIN)/phusa run recipes/demo.yaml

# Three processes on two cores: the tests of deployed runs mostly wait for workers and servers.
test: install
	$(BIN)/python -m pytest --numprocesses 3 --dist loadfile -m "not soak"

# Ray and Dask clusters, PostgreSQL, 2 000 tasks at once, `phusa up` from start to end.
soak: install
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile -m soak

torture: install
	PHUSA_TORTURE=$(PHUSA_TORTURE) $(BIN)/python -m pytest tests/storage/torture --capture=no --timeout=0

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
