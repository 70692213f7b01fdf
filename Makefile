# `make demo` and `make test` do all their own set-up; a second call starts at once.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet --constraint constraints.txt
INSTALLED := $(VENV)/.installed
INSTALLED_DEV := $(VENV)/.installed-dev

.PHONY: help demo test lint types format docs picture bench bench-metrics bench-hosted bench-engines soak fuzz bench-decisions bench-miniature miniature gpu clean

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(INSTALLED): pyproject.toml constraints.txt
	@echo "installing into $(VENV) (about 5 GB, a few minutes; once)"
	@$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "kreabench needs Python 3.11 to 3.13; name one with PYTHON=..."'
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	$(PIP) --editable '.[dev]'
	@touch $@

demo: $(INSTALLED)  ## run the demo experiment and say where its report is
	$(BIN)/kreabench run experiment=demo

test: $(INSTALLED_DEV)  ## the tests
	$(BIN)/python -m pytest -n 3 --dist worksteal

lint: $(INSTALLED_DEV)  ## style and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED_DEV)  ## static types
	$(BIN)/mypy

format: $(INSTALLED_DEV)  ## put the code into its format
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(INSTALLED_DEV)  ## the documentation, into site/; a broken link or reference is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet --strict

picture: $(INSTALLED_DEV)  ## the picture that README opens with, out of reports/demo; needs Chromium
	$(BIN)/python docs/_generate/picture.py

bench: $(INSTALLED_DEV)  ## speed of the tool itself, as ratios within one run
	$(BIN)/python benchmarks/startup.py
	$(BIN)/python benchmarks/run_directory.py
	$(BIN)/python benchmarks/harness_cost.py

bench-metrics: $(INSTALLED_DEV)  ## metrics against other implementations, and their speed beside the plain libraries
	$(BIN)/python benchmarks/metrics_accuracy.py
	$(BIN)/python benchmarks/metrics_speed.py
	$(BIN)/python benchmarks/metrics_throughput.py

bench-hosted: $(INSTALLED_DEV)  ## accuracy, speed and money of the hosted path, against the loopback fal
	$(BIN)/python benchmarks/fal_latency.py
	$(BIN)/python benchmarks/fal_faults.py

bench-engines: $(INSTALLED_DEV)  ## what engines cost a request, and a cluster whose nodes, workers and drivers are killed
	$(BIN)/python benchmarks/engine_speed.py
	$(BIN)/python benchmarks/ray_faults.py

soak: $(INSTALLED_DEV)  ## many samples while driver and workers are killed at random; --samples 50000 takes about 20 minutes
	$(BIN)/python benchmarks/soak.py

fuzz: $(INSTALLED_DEV)  ## everything that reads what others wrote, a minute each
	$(BIN)/python benchmarks/fuzz.py

bench-decisions: $(INSTALLED_DEV)  ## decisions where the truth is known, damaged versions of the tiny model, and speed
	$(BIN)/python benchmarks/validity.py
	$(BIN)/python benchmarks/damaged_versions.py
	$(BIN)/python benchmarks/decisions_speed.py
	$(BIN)/python benchmarks/load_intervals.py

bench-miniature: $(INSTALLED_DEV)  ## what the miniature model can do, by its checker, and whether decisions on it are right
	$(BIN)/python benchmarks/miniature.py

miniature: $(INSTALLED_DEV)  ## train the miniature anew, into outputs/miniature; stop and go on at will
	$(BIN)/python -m training outputs/miniature

gpu: $(INSTALLED)  ## FLUX.1 at full size with random weights on this GPU; no network
	$(BIN)/python benchmarks/gpu.py

clean:  ## remove what the tools left behind, not the runs
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis build dist
