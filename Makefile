# Everything sets itself up: a virtual environment in .venv, packages by name and version.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: setup demo image check test hil unix31 bench evidence clean help

help:  ## what there is
	@grep -E '^[a-z0-9]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

setup: $(READY)  ## make the virtual environment

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints.txt --editable ".[accuracy,bench,flash,hil,dev]"
	@touch $(READY)

demo: $(READY)  ## two infusions on the virtual bench, and their curves in out/demo/report.html
	$(BIN)/micropump demo --out out/demo

image: $(READY)  ## a UF2 for the Pico with the firmware frozen in, in out/image
	$(BIN)/micropump image --board pico --out out/image

check: $(READY)  ## style, types, and the arrows between the rooms
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

test: check  ## the checks and all tests
	$(BIN)/pytest -n auto -q

hil: $(READY)  ## the hardware-in-the-loop suites, on the virtual benches and the emulated Pico
	$(BIN)/pytest -q -n auto hil/suites

unix31: $(READY)  ## MicroPython for this computer with the board's small ints and floats
	$(BIN)/python -m micropump_host.image.unixport --out out/unix31

bench: $(READY)  ## how fast it is, and where the time goes
	$(BIN)/python benchmarks/bench_simulation.py
	$(BIN)/python benchmarks/bench_accuracy.py
	$(BIN)/python benchmarks/bench_pico.py

evidence: $(READY)  ## no false alarms, no misses: hours, on all cores; out/evidence/report.html
	$(BIN)/micropump evidence --out out/evidence

clean:  ## remove what make has made
	rm -rf $(VENV) out build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
