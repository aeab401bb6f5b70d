# Everything runs in .venv, with the versions pinned in constraints.txt.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test lint clean

help:
	@echo "make setup   create .venv and install irploc with its extras (onnx, pairs, service, structure, tensorboard, video, dev)"
	@echo "make demo    the whole flow on a rendered place; ends with the path of a report"
	@echo "make test    run the tests, side by side on up to four cores"
	@echo "make lint    ruff and mypy"

setup: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	@echo "== creating .venv and installing pinned versions (a few minutes the first time)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "irploc needs Python 3.11 or newer; run make PYTHON=python3.11 …"; exit 1; }
	@$(PYTHON) -m venv .venv
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[onnx,pairs,service,structure,tensorboard,video,dev]'
	@touch $@

demo: setup
	@echo "== running irploc demo"
	@$(BIN)/irploc demo

# Bytecode is kept whatever the environment says: the tests start many processes, which would compile everything again.
test: setup
	@echo "== running the tests"
	@PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

lint: setup
	@echo "== ruff"
	@$(BIN)/ruff check irploc scripts tests
	@$(BIN)/ruff format --check irploc scripts tests
	@echo "== mypy"
	@$(BIN)/mypy

clean:
	rm -rf .venv build *.egg-info demo
