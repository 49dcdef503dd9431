PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin

.PHONY: help install demo test check docs console serve clean

help: ## list the commands
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-8s %s\n", $$1, $$2}'

install: $(VENV)/installed ## make .venv with everything the project needs

# torch comes first: any other package that wants it would pull a CUDA build of several gigabytes.
$(VENV)/installed: pyproject.toml client/pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e './client[cli]' -e '.[worker,embedded,demo,telemetry,dev,docs]'
	@touch $@

demo: install ## squeeze a real transformer, end to end, over HTTP (DATA=folder for another set)
	$(BIN)/squeeze demo $(if $(DATA),--data $(DATA))

test: install ## run every test against a real PostgreSQL and a real Redis-compatible server
	$(BIN)/python -m pytest -n auto --dist worksteal

check: install ## formatting, lints, types, import contracts, migrations, deployment files
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m migrations.check
	$(BIN)/check-jsonschema --builtin-schema vendor.compose-spec docker-compose.yml
	$(BIN)/hadolint docker/api.Dockerfile docker/worker.Dockerfile

docs: install ## build the documentation into build/docs
	NO_MKDOCS_2_WARNING=1 PYTHONPATH=. $(BIN)/mkdocs build --quiet

console: install ## build the web console into app/console/static, which is committed
	cd console && PATH="$(abspath $(BIN)):$$PATH" npm ci --no-audit --no-fund && PATH="$(abspath $(BIN)):$$PATH" npm run build

serve: install ## start the API and one worker on this machine
	$(BIN)/squeeze up

clean: ## remove what was built
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache build *.egg-info
