# `make` lists the targets. Each works in a fresh clone and may be repeated.

.DEFAULT_GOAL := help
.NOTPARALLEL:
.DELETE_ON_ERROR:
SHELL := /bin/bash

PYTHON_BIN := .venv/bin
PYTEST = $(PYTHON_BIN)/python -m pytest $(PYTEST_ARGS)
WITH_SERVICES = $(PYTHON_BIN)/python -m tests.services
MODEL_EXAMPLES ?= 200

FAST = not clients and not stores and not faults and not fuzz and not timing

##@ Use

.PHONY: run
run: ## Serve on 127.0.0.1:5000, with SQLite and ./data
	@scripts/ensure-venv runtime
	@exec $(PYTHON_BIN)/lading serve

##@ Check

.PHONY: test
test: venv services ## Run the tests on PostgreSQL and the protocol's on SQLite, side by side (PYTEST_ARGS="-k name")
	@$(MAKE) --no-print-directory -f tests/groups.mk --keep-going --jobs=$$(nproc) --output-sync=target \
		FAST="$(FAST)" PYTEST_ARGS='$(PYTEST_ARGS)'

.PHONY: conformance
conformance: venv services ## Run the OCI conformance programs against Lading
	@$(WITH_SERVICES) -- $(PYTHON_BIN)/python -m tests.conformance

.PHONY: clients
clients: venv services ## Drive skopeo, podman, docker, crane, … against Lading
	@scripts/install-clients
	@$(WITH_SERVICES) -- $(PYTEST) tests/clients -m clients

.PHONY: stores
stores: venv services ## Take the object stores through faults and live servers
	@$(WITH_SERVICES) -- $(PYTEST) tests/storage -m stores

.PHONY: faults
faults: venv services ## Take the way to the database through every fault at every statement
	@$(WITH_SERVICES) -- $(PYTEST) tests/faults

.PHONY: soak
soak: venv services ## Break a registry again and again under load, and check every promise (SOAK_SECONDS=300 SOAK_SEED=n)
	@$(PYTHON_BIN)/python -m tests.soak

.PHONY: fuzz
fuzz: venv services ## Send the management API what can be made up from its description (three minutes)
	@LADING_FUZZ_EXAMPLES=15 $(WITH_SERVICES) -- $(PYTEST) tests/fuzz -s

.PHONY: model
model: venv services ## Take collection through many random steps beside its model, on both databases (MODEL_EXAMPLES=200)
	@LADING_MODEL_EXAMPLES=$(MODEL_EXAMPLES) $(WITH_SERVICES) -- $(PYTEST) tests/model
	@LADING_MODEL_EXAMPLES=$(MODEL_EXAMPLES) $(WITH_SERVICES) --sqlite -- $(PYTEST) tests/model

.PHONY: mutants
mutants: venv services ## Put faults into collection, each of which the tests must notice (MUTANTS_ARGS="--model name")
	@$(WITH_SERVICES) -- $(PYTHON_BIN)/python -m tests.mutants $(MUTANTS_ARGS)

.PHONY: timing
timing: venv services ## Measure whether a sign-in's duration says that a user exists
	@$(WITH_SERVICES) -- $(PYTEST) tests/access -m timing -s

.PHONY: bench
bench: venv services ## Measure speed and memory
	@$(WITH_SERVICES) --durable -- $(PYTHON_BIN)/python -m tests.bench

.PHONY: memory
memory: venv services ## Measure a web process during 20 uploads and downloads of 1 GiB (50 GB of disk)
	@$(WITH_SERVICES) -- $(PYTHON_BIN)/python -m tests.bench.memory $(MEMORY_ARGS)

.PHONY: lint
lint: style types imports migrations files ## Check style, types, import rules, migrations and files

.PHONY: style types imports migrations files
style: venv
	@$(PYTHON_BIN)/ruff check
	@$(PYTHON_BIN)/ruff format --check
types: venv
	@$(PYTHON_BIN)/mypy
imports: venv
	@$(PYTHON_BIN)/lint-imports --no-logo
migrations: venv
	@$(WITH_SERVICES) --sqlite --no-redis -- $(PYTHON_BIN)/python manage.py makemigrations --check --dry-run
files: venv
	@$(PYTHON_BIN)/python scripts/check_repository.py

.PHONY: check
check: lint test ## Everything that a change must pass

##@ Work on it

.PHONY: format
format: venv ## Rewrite the code in the project's style
	@$(PYTHON_BIN)/ruff check --fix
	@$(PYTHON_BIN)/ruff format

.PHONY: lock
lock: venv ## Pin the newest allowed version of every dependency
	@scripts/lock

.PHONY: clean
clean: ## Remove what was built or installed here; ./data stays
	@rm -rf .venv .cache build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -prune -exec rm -rf {} +

.PHONY: help
help: ## List the targets
	@awk -F ':.*## ' '/^##@/ { print "\n" substr($$0, 5) } \
		/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: venv services
venv:
	@scripts/ensure-venv dev
services:
	@scripts/ensure-services
