# The commands of the project, the same on a laptop and in CI. PYTHON names the interpreter that makes .venv.
PYTHON ?= python3
BIN := .venv/bin
GENERATED ?= clients/generated
LONG := HYPOTHESIS_EXAMPLES=2000 SCHEMATHESIS_TIMES=10 FAULT_KILLS=200 SLOW_CALLERS=400 FAULT_POINTS=200

.PHONY: run test test-long test-partitioned partitioning check bench kills faults pruning slow-callers lock schema clients newcomer pictures loadtest dependencies

run: .venv/base.stamp .env  ## the service on this machine, with something to look at in a new database
	@$(BIN)/python manage.py migrate --verbosity 0
	@$(BIN)/python manage.py create_demo
	@$(BIN)/python manage.py rollup --every 60 & rollup=$$!; trap "kill $$rollup" EXIT; $(BIN)/gunicorn config.wsgi

test: .venv/dev.stamp .venv/loadtest.stamp check  ## everything: checks, then the suite on SQLite and on PostgreSQL
	TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 3
	TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 3

test-long: .venv/dev.stamp .venv/loadtest.stamp check  ## the same with the random campaigns at full length
	$(LONG) TEST_DATABASE=sqlite $(BIN)/python -m pytest -n 3
	$(LONG) TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 3

test-partitioned: .venv/dev.stamp .venv/loadtest.stamp  ## the suite on PostgreSQL with the readings in partitions
	READINGS=partitioned TEST_DATABASE=postgresql $(BIN)/python -m pytest -n 3

partitioning: .venv/dev.stamp  ## ten million readings into partitions under callers; PARTITIONING="--readings 100000" for fewer
	$(BIN)/python -m tests.partitioning $(PARTITIONING)

bench: .venv/dev.stamp  ## speed as ratios, in one run on a PostgreSQL of its own
	$(BIN)/python -m bench

kills: .venv/dev.stamp  ## what it takes to lose a background analysis: 200 kills, half an hour; KILLS="--kills 20" for fewer
	$(BIN)/python -m tests.kills $(KILLS)

newcomer: .venv/dev.stamp  ## the README's way in a new folder, each step with its seconds
	$(BIN)/python -m tests.newcomer

faults: .venv/dev.stamp  ## kill PostgreSQL and gunicorn at 200 points while readings come in; FAULTS="--points 20" for fewer
	$(BIN)/python -m tests.faults $(FAULTS)

pruning: .venv/dev.stamp  ## delete 10 of 20 million readings under load, with kills; PRUNING="--readings 2000000" for fewer
	$(BIN)/python -m tests.pruning $(PRUNING)

slow-callers: .venv/dev.stamp  ## health through nginx beside 400 callers that send a byte at a time; SLOW="--callers 50" for fewer
	$(BIN)/python -m tests.slow_callers $(SLOW)

pictures: .venv/dev.stamp  ## docs/pictures anew, with the tests' own service and Chromium
	$(BIN)/python -m tests.pictures

check: .venv/dev.stamp  ## style, types and the arrows between the apps
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	SECRET_KEY=$(UNUSED_KEY) ENV_FILE= $(BIN)/mypy .
	$(BIN)/lint-imports

schema: .venv/dev.stamp  ## schema.yaml anew, after a change of the API
	SECRET_KEY=$(UNUSED_KEY) ENV_FILE= $(BIN)/python manage.py spectacular --validate --fail-on-warn --file schema.yaml

clients: .venv/dev.stamp clients/node_modules/.package-lock.json  ## a Python and a TypeScript client from schema.yaml
	rm -rf $(GENERATED)
	mkdir -p $(GENERATED)/python $(GENERATED)/typescript
	$(BIN)/openapi-python-client generate --path schema.yaml --meta none --fail-on-warning \
		--config clients/openapi-python-client.yaml --output-path $(GENERATED)/python/device_monitoring
	touch $(GENERATED)/python/device_monitoring/py.typed
	clients/node_modules/.bin/openapi-typescript schema.yaml --output $(GENERATED)/typescript/api.d.ts

loadtest: .venv/dev.stamp .venv/loadtest.stamp  ## a service with all that belongs to it under load, for 30 s; LOAD="--seconds 300 --users 60" for more
	$(BIN)/python -m tests.load $(LOAD)

lock: .venv/dev.stamp  ## requirements/*.txt anew from requirements/*.in
	for list in base dev loadtest; do \
		$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header \
			requirements/$$list.in --output-file requirements/$$list.txt || exit 1; \
	done

dependencies: .venv/dev.stamp  ## name, version, licence and age of all that is installed, from the released archives
	folder=$$(mktemp -d) && for list in dev loadtest; do \
		$(BIN)/pip download --quiet --no-deps --require-hashes -r requirements/$$list.txt -d $$folder || exit 1; \
	done && $(BIN)/python requirements/table.py $$folder; rm -rf $$folder

# Checks load the settings without a database or a session: any key does.
UNUSED_KEY := nothing-is-signed-while-the-code-is-checked-so-this-is-no-secret

.env:
	@umask 077; $(PYTHON) -c 'import secrets; print("SECRET_KEY=" + secrets.token_urlsafe(50))' > $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv .venv

.venv/%.stamp: requirements/%.txt | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

clients/node_modules/.package-lock.json: clients/package-lock.json
	npm --prefix clients ci --silent
	@touch $@

# Locust has requirements of its own, which need not agree with the service's.
.venv/loadtest.stamp: requirements/loadtest.txt | .venv/bin/python
	$(PYTHON) -m venv .venv/loadtest
	.venv/loadtest/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@
