# Two commands set up everything: `make demo` and `make test`. The virtual environment is made on first use.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
RUNS ?= runs/demo
LOWEST ?= .venv-lowest
LOWEST_PYTHON ?= 3.10
PYTEST = CUDA_VISIBLE_DEVICES= $(BIN)/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile --no-loadscope-reorder

.PHONY: demo test test-all checks test-gpu test-lowest lint types docs bench bench-gpu install clean

install: $(VENV)/.installed

$(VENV)/.installed: setup.cfg pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --editable '.[test]'
	touch $@

# Source and DUSA on corrupted handwritten digits, side by side.
demo: install
	$(BIN)/dusa-ignite adapt --config digits --overwrite output_dir=$(RUNS) name=source method.name=source
	$(BIN)/dusa-ignite adapt --config digits --overwrite output_dir=$(RUNS) name=dusa
	$(BIN)/dusa-ignite report $(RUNS)/source $(RUNS)/dusa --plot $(RUNS)/comparison.png

# Style, types, documentation, and all tests but the slow ones, which kill, restart and span processes.
test: checks
	$(PYTEST) -m "not slow"

# The same with the slow tests, before a release.
test-all: checks
	$(PYTEST)

# What needs one core each, side by side, before the tests, which take all.
checks: install
	$(MAKE) --jobs=2 --output-sync=target lint types docs

# What needs a GPU; the other tests are for the CPU, and hide the GPUs there are.
test-gpu: install
	$(BIN)/python -m pytest -m gpu

# The same tests with the oldest Python and the oldest packages that setup.cfg allows.
test-lowest: $(LOWEST)/.installed
	$(LOWEST)/bin/python -m pytest --numprocesses=logical --maxprocesses=4 --dist=loadfile -m "not slow"

$(LOWEST)/.installed: setup.cfg
	$(PYTHON) -m venv $(LOWEST)-uv
	$(LOWEST)-uv/bin/pip install --quiet uv
	$(LOWEST)-uv/bin/uv venv --clear --python "$$(.ci/oldest-python $(LOWEST)-uv/bin/uv $(LOWEST_PYTHON))" $(LOWEST)
	$(LOWEST)-uv/bin/uv pip install --python $(LOWEST)/bin/python --resolution lowest-direct --editable '.[test]'
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install
	$(BIN)/mypy

docs: install
	$(BIN)/mkdocs build --strict

# What an update costs on this machine, with random weights: models that a few cores can bear, in less than 5 minutes.
bench: install
	$(BIN)/dusa-ignite bench --config convnext --sizes small --seconds 10 --json bench.json --png bench.png

# The same at full size on a GPU, all variants, in less than 5 minutes.
bench-gpu: install
	$(BIN)/dusa-ignite bench --config convnext --seconds 8 --parts shipped,fast_sampled \
		--variants textbook,shipped,sampled,fast,fast_sampled,fast_tf32,fast_sampled_tf32 --json bench.json --png bench.png \
		data.root=/x transformer.checkpoint=random vae.pretrained=random classifier.pretrained=false

clean:
	rm -rf $(VENV) $(LOWEST) $(LOWEST)-uv build site *.egg-info .mypy_cache .pytest_cache .ruff_cache
