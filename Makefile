# The two commands of the README are `make demo` and `make test`; `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash

UV ?= $(shell command -v uv 2>/dev/null)
ifeq ($(UV),)
UV := .tools/bin/uv
endif
PYTHON := .venv/bin/python

.PHONY: help demo demo-down test cluster-test engine-test check format crds binaries tools images bench mutants cluster-up cluster-down clean

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 16

.tools/bin/uv:
	@echo "uv is not on PATH; installing it into .tools"
	@python3 -m venv .tools
	@.tools/bin/python -m pip install --quiet "uv>=0.9"

# The stamp is as new as the lock that it was installed from.
.venv/.synced: pyproject.toml uv.lock | $(filter .tools/bin/uv,$(UV))
	@echo "installing the locked packages (about 6 GB the first time, torch among them)"
	@$(UV) sync --frozen --all-extras --quiet
	@touch $@

demo: .venv/.synced ## the main job on real parts, from nothing (KEEP=1: leave it running; CLUSTER=1: in pods)
	@$(PYTHON) -m testbed binaries $(if $(CLUSTER),--all) >/dev/null
	@$(PYTHON) -m testbed.demo $(if $(KEEP),--keep) $(if $(CLUSTER),--cluster)

demo-down: .venv/.synced ## end a demo that was left running
	@$(PYTHON) -m testbed.demo --down

binaries: .venv/.synced ## build the control plane's programs, once a machine
	@$(PYTHON) -m testbed binaries >/dev/null

tools: .venv/.synced ## build all programs of the testbed (15 minutes), once a machine
	@$(PYTHON) -m testbed binaries --all >/dev/null

images: tools ## build the images of operator, jobs and engine; needs root
	@$(PYTHON) -m testbed.images.build all

check: .venv/.synced ## the fast gate: ruff, mypy, import contracts, CRDs, docs
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy -p modelecology -p testbed
	@.venv/bin/mypy tests bench
	@.venv/bin/mypy manifests/argocd/render.py manifests/examples/gpu/guard.py
	@.venv/bin/lint-imports --no-cache
	@$(PYTHON) -m modelecology.crds --check
	@$(PYTHON) -m modelecology.governance.diagram --check
	@$(PYTHON) manifests/argocd/render.py --check
	@echo "check: green. Next: make test"

test: check tools ## all tests but the long ones, on real parts
	@.venv/bin/pytest --durations=15
	@echo "test: green. Next: make demo, or the long tests: make cluster-test"

cluster-test: tools ## the long tests: the whole story in pods by Helm, faults, Argo CD, users; needs root
	@MODELECOLOGY_REQUIRE_NODE=1 .venv/bin/pytest -m "long or not long" --durations=15 tests/cluster tests/argocd tests/e2e/test_live_job.py tests/reconcile/test_crash_at_writes.py
	@echo "cluster-test: green. Next: make demo CLUSTER=1"

engine-test: .venv/.synced ## the engine's contract, asked of a real vLLM too (installed once: 6 GB, 2 minutes to start)
	@.venv/bin/pytest -m "long or not long" --durations=5 tests/engines
	@echo "engine-test: green. Next: .venv/bin/python -m bench.engine, or docs/engines.md"

format: .venv/.synced ## format and sort
	@.venv/bin/ruff format .
	@.venv/bin/ruff check --fix .

crds: .venv/.synced ## render crds/ and the chart's copy from the models
	@$(PYTHON) -m modelecology.crds

bench: .venv/.synced binaries ## measure the control plane beside a naive operator
	@$(PYTHON) -m bench.control_plane

mutants: .venv/.synced ## how many small faults in the core's rules its tests find; half an hour
	@$(UV) run --no-sync --with mutmut==3.8.1 python -m bench.mutants

cluster-up: tools ## a cluster with a node and KubeRay, left running; needs root
	@$(PYTHON) -m testbed cluster up --kuberay

cluster-down: .venv/.synced ## end it
	@$(PYTHON) -m testbed cluster down

clean: ## delete what the demo and the tools left in this folder
	@rm -rf .demo .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
