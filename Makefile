# Everything that a developer does here, one word each. `make help` lists it.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

# A distribution builds its own Python by a profile. One that was compiled by hand mostly was not, and takes a quarter longer.
ifndef PYTHON
PYTHON := $(shell for each in /usr/bin/python3 python3; do \
  if $$each -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; done; echo $$each)
endif
CACHE  := $(or $(MOORING_CACHE_DIR),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/mooring)
# The environment is keyed by what it is made of, so that several clones share it and an old one is never patched.
KEY    := $(shell { $(PYTHON) -VV; cat requirements/dev.txt; } 2>/dev/null | sha256sum | cut -c1-12)
VENV   := $(CACHE)/venv/$(KEY)
READY  := $(VENV)/.ready
PY     := $(VENV)/bin/python
# What a lab runs. Beside that the tests of the chart need helm, which a demo need not wait for.
LAB    := etcd kube-apiserver kube-controller-manager kube-scheduler kubectl kwok
# As root on Linux the tests run real nodes as well, which need all the binaries that the lab knows.
TESTED := $(if $(filter 0-Linux,$(shell id -u)-$(shell uname -s)),,$(LAB) helm)
# What charts and overlays must have in their own folders, as SOURCE:COPY.
COPIES := manifests/monitoring/alerts.yaml:helm/mooring/files/monitoring/alerts.yaml \
  manifests/monitoring/dashboard.json:helm/mooring/files/monitoring/dashboard.json \
  manifests/rbac/namespaced.yaml:manifests/overlays/namespaced/rights/namespaced.yaml \
  manifests/rbac/gateway-namespaced.yaml:manifests/overlays/namespaced/rights/gateway-namespaced.yaml
export PYTHONPATH := $(CURDIR)/operator:$(CURDIR)
export MOORING_CACHE_DIR := $(CACHE)

##@ Use

.PHONY: help
help: ## Say what there is to do
	@awk 'BEGIN {FS = ":.*## "} /^##@/ {section = substr($$0, 5); if (!(section in text)) order[++n] = section} \
	  /^[a-z-]+:.*## / {text[section] = text[section] sprintf("  make %-13s %s\n", $$1, $$2)} \
	  END {for (i = 1; i <= n; i++) printf "%s%s\n%s", (i > 1 ? "\n" : ""), order[i], text[order[i]]}' $(MAKEFILE_LIST)
	@printf '\nStart with: make demo\n'

##@ Set up

.PHONY: setup
setup: $(READY) ## Install what the checks, the tests and the lab need (into the user's cache folder)

# Order only: the name of the folder tells what it is made of, and a fresh clone is newer than any.
$(READY): | requirements/dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else 1)' 2>/dev/null || { \
	  echo "mooring needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) -V 2>&1 || true). Name another with PYTHON=..." >&2; exit 2; }
	@echo "== Python environment (about a minute, once) -> $(VENV)"
	@mkdir -p $(VENV)
	@$(PYTHON) -m venv --clear $(VENV)
	@$(PY) -m pip install --quiet --disable-pip-version-check --no-input --require-hashes -r requirements/dev.txt
	@touch $@

.PHONY: tools
tools: $(READY) ## Make the lab's binaries and documents ready (cold: about 13 min, as root 17; once per version)
	@$(PY) -m lab build $(TESTED)
	@$(PY) -m lab.github.documents

.PHONY: lock
lock: $(READY) ## Pin every dependency anew, with hashes, for all platforms
	@lock() { $(VENV)/bin/uv pip compile pyproject.toml --quiet --universal --python-version 3.11 --generate-hashes --no-strip-extras --no-header "$$@"; }; \
	lock --upgrade -o requirements/runtime.txt; \
	lock --upgrade --group dev -c requirements/runtime.txt -o requirements/dev.txt; \
	for group in go node; do \
	  $(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade \
	    --group $$group -o requirements/$$group.txt; \
	done

.PHONY: node-deps
node-deps: ## Install what real nodes need from the distribution (root; Debian and its kin). The only target that calls apt
	@[ "$$(id -u)" = 0 ] || { echo "make node-deps installs system packages: run it as root" >&2; exit 2; }
	@command -v apt-get >/dev/null || { echo "make node-deps knows apt only: install runc, nftables, iproute2, mmdebstrap and buildah yourself" >&2; exit 2; }
	@PATH="$$PATH:/usr/sbin:/sbin"; for each in runc nft ip modprobe mmdebstrap buildah; do \
	  command -v $$each >/dev/null || exec sh -xc 'apt-get update -q && apt-get install -y --no-install-recommends \
	    runc nftables iproute2 kmod mmdebstrap buildah'; \
	done

##@ Use

.PHONY: demo
demo: $(READY) ## See it work on this machine: a real API server and a GitHub (ONCE=1: run through and stop)
	@$(PY) -m lab build $(LAB)
	@$(PY) -m lab.github.documents
	@$(PY) -m lab.demo $(if $(ONCE),--once)

.PHONY: demo-down
demo-down: $(READY) ## Stop what the demo left running
	@$(PY) -m lab.demo --down

##@ Check

.PHONY: test
test: tools ## All checks and tests, each suite's seconds beside its budget
	@$(PY) tests/suites.py

.PHONY: test-scale
test-scale: tools ## What needs thousands of objects or minutes of load, and the oldest Kubernetes (about half an hour; cold: 4 min more)
	@$(PY) -m lab build kube-apiserver-1.33
	@$(PY) tests/suites.py scale

.PHONY: test-vast
test-vast: tools ## Of these, memory, start and takeover with ten thousand Projects alone (about 4 min)
	@$(PY) tests/suites.py vast

.PHONY: test-node
test-node: $(READY) ## Real pods on a real node of this machine (root on Linux, after make node-deps; cold: about 5 min more)
	@$(PY) -m lab build
	@$(PY) tests/suites.py node

.PHONY: test-kind
test-kind: $(READY) ## The story on a cluster of kind, as on somebody's own (Docker; skipped where there is none)
	@$(PY) -m lab build kubectl helm
	@$(PY) tests/suites.py kind

.PHONY: bench
bench: tools ## Measure speed and size against the floor of this machine (under 25 min; QUICK=1: under 5)
	@$(PY) -m bench $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY))

.PHONY: unit
unit: $(READY) ## Unit tests alone (about a minute)
	@$(PY) -m pytest -q tests/unit

.PHONY: lint
lint: $(READY) ## Style, types and the import contract
	@$(PY) tests/suites.py lint

.PHONY: fmt
fmt: $(READY) ## Format, and mend what can be mended
	@$(PY) -m ruff check --fix --quiet . || true
	@$(PY) -m ruff format --quiet .

.PHONY: generate
generate: $(READY) ## Write what is generated: the CRDs and their copies, the Roles, pages of the reference
	@$(PY) -m mooring crds --output crds
	@for copy in helm/mooring/files/crds manifests/crds; do $(PY) -m mooring crds --output $$copy; done
	@$(PY) -m mooring rbac --output manifests/rbac
	@$(PY) -m mooring rbac --chart --output helm/mooring/templates
	@$(foreach copy,$(COPIES),cp $(subst :, ,$(copy)); )
	@$(PY) -m tests.unit.docs.generate

.PHONY: verify
verify: $(READY) ## Regenerate into a copy, and fail on any difference
	@for copy in crds helm/mooring/files/crds manifests/crds; do $(PY) -m mooring crds --check $$copy; done
	@$(PY) -m mooring rbac --check manifests/rbac
	@$(PY) -m mooring rbac --chart --check helm/mooring/templates
	@$(foreach copy,$(COPIES),cmp $(subst :, ,$(copy)) || { echo "run \`make generate\` and commit the result"; exit 1; }; )
	@echo "generated files are up to date"

##@ Clean

.PHONY: clean
clean: ## Remove what the tools left in this checkout
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-cache
clean-cache: ## Remove the caches of every checkout: environment, binaries, documents (the next run is a cold one)
	@chmod -R u+w $(CACHE) 2>/dev/null || true
	@rm -rf $(CACHE)
