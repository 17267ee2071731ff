# Two commands set up everything: `make demo` and `make test`. The virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs/demo

.PHONY: demo test lint types install clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable .[demo,test]
	touch $@

# Source and DUSA on corrupted handwritten digits, side by side.
demo: install
	$(BIN)/python launch/main.py --config configs/digits.yaml --overwrite output_dir=$(RUNS) name=source method.name=source
	$(BIN)/python launch/main.py --config configs/digits.yaml --overwrite output_dir=$(RUNS) name=dusa
	$(BIN)/python launch/report.py $(RUNS)/source $(RUNS)/dusa --plot $(RUNS)/comparison.png

# Everything that continuous integration checks.
test: lint types
	$(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .pytest_cache .ruff_cache
