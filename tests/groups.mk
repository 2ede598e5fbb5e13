# The tests in groups that run side by side, each with servers of its own. `make test` calls it.

RUN = .venv/bin/python -m tests.services
PYTEST = .venv/bin/python -m pytest $(PYTEST_ARGS) -m "$(FAST)"
# What was asked for by name may be in one group alone.
NONE_OF_THEM = $(if $(PYTEST_ARGS),|| test $$? = 5)

# These start servers and programs, and wait for them.
PROCESSES = tests/concurrency tests/deploy tests/faults tests/live tests/observability tests/soak tests/storage tests/upgrade
# These run again on SQLite, which takes its own way through locks and transactions. tests/live chooses the
# database of each server that it starts, and so covers both in one run.
SQLITE = tests/api tests/collection tests/events tests/model

.PHONY: all processes others sqlite
all: processes others sqlite

processes:
	@echo "== tests that start processes, PostgreSQL"
	@$(RUN) -- $(PYTEST) $(PROCESSES) $(NONE_OF_THEM)
others:
	@echo "== all other tests, PostgreSQL"
	@$(RUN) -- $(PYTEST) tests $(PROCESSES:%=--ignore=%) $(NONE_OF_THEM)
sqlite:
	@echo "== tests on SQLite: $(SQLITE)"
	@$(RUN) --sqlite -- $(PYTEST) $(SQLITE) $(NONE_OF_THEM)
