.POSIX:

# Variables to give on the command line, such as `make test PYTHON=python3.13 ARGS="-k journal"`.
PYTHON = python3
ARGS =
# The interpreters that the constraints files are made with: each the oldest that its file serves.
PYTHON_310 = python3.10
PYTHON_311 = python3.11

VENV = .venv
# Empty: constraints-3.10.txt on Python 3.10, else constraints.txt.
CONSTRAINTS =
PINS = $$($(PYTHON) -c 'import sys; print("$(CONSTRAINTS)" or ("constraints.txt", "constraints-3.10.txt")[sys.version_info < (3, 11)])')

PIP = $(VENV)/bin/python -m pip --disable-pip-version-check -q
# Python compiles what it imports; to compile all that is installed takes about as long as to install it.
PIP_INSTALL = $(PIP) install --no-compile
SOURCES = sms_source pipelines tests

# How often `make crash` kills the job.
KILLS = 1000
# How many rounds `make soak` follows the queues.
ROUNDS = 2000

.PHONY: help install demo picture wheel test test-long coverage test-wheel test-lowest test-crash test-postgres install-s3 test-s3 test-workflows install-lakes test-lakehouse test-ducklake test-mariadb test-airflow test-receive test-report test-views install-browser test-thorough crash soak bench check format constraints clean

help: ## this list
	@echo "make TARGET, with Python $$($(PYTHON) -c 'import sys; print(sys.version.split()[0])' 2>&1)"
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' Makefile

install: ## a virtual environment in .venv, of pinned versions; does nothing if it is up to date
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || { \
		echo "make: Python 3.10 or newer is needed, and '$(PYTHON)' is not it: make install PYTHON=/path/to/python3" >&2; \
		exit 1; }
	@set -e; \
	pins="$(PINS)"; \
	key="$$(pwd) $$($(PYTHON) -VV | cksum) $$(cat pyproject.toml "$$pins" | cksum)"; \
	if [ -x $(VENV)/bin/python ] && [ "$$(cat $(VENV)/.installed 2>/dev/null)" = "$$key" ]; then exit 0; fi; \
	$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
		echo "make: $(PYTHON) can't make virtual environments; on Debian and Ubuntu: apt install python3-venv" >&2; \
		exit 1; }; \
	echo "Installing the versions of $$pins into $(VENV) ..."; \
	$(PYTHON) -m venv --clear $(VENV); \
	$(PIP_INSTALL) -c "$$pins" hatchling editables; \
	$(PIP_INSTALL) -c "$$pins" --no-build-isolation -e ".[dev]"; \
	echo "$$key" >$(VENV)/.installed

demo: install ## the main job against the bundled simulator, into sms_replies_demo.duckdb
	@$(VENV)/bin/python pipelines/load_replies.py --demo

wheel: install ## the wheel, in dist/
	@rm -rf dist
	@$(VENV)/bin/python -m build --no-isolation --outdir dist . >dist.log 2>&1 || { cat dist.log; rm dist.log; exit 1; }
	@rm dist.log
	@ls dist/*.whl

test: install ## the tests, on all cores; ARGS="-k journal -x" goes to pytest
	@$(VENV)/bin/python -m pytest -n auto $(ARGS)

test-long: install ## those of these tests that take longer: several loads or processes, many random examples
	@$(VENV)/bin/python -m pytest -n auto -m "long and not postgres" $(ARGS)

coverage: install ## both, with the coverage of the whole package, also of its processes; twice the time
	@rm -f .coverage .coverage.*
	@$(VENV)/bin/python -m pytest -n auto -m "long or not long" --cov --cov-report=term-missing $(ARGS)

test-wheel: wheel ## the tests against the built wheel: the package is not beside them
	@set -e; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PIP_INSTALL) --no-deps --target "$$folder/site" dist/*.whl; \
	cp -R tests pipelines docs README.md README.zh-CN.md pyproject.toml .dlt .github Makefile "$$folder"; \
	rm -rf "$$folder/tests/crash"; \
	python=$$(pwd)/$(VENV)/bin/python; cd "$$folder"; \
	PYTHONPATH="$$folder/site" "$$python" -c 'import sms_source, os; assert sms_source.__file__.startswith(os.getcwd()), sms_source.__file__'; \
	PYTHONPATH="$$folder/site" "$$python" -m pytest -n auto -q -m "not postgres" tests/test_load_replies.py tests/test_source.py $(ARGS)

test-lowest: ## the tests, with the lowest versions that pyproject.toml allows; Python 3.10 to 3.13
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info < (3, 14))' || { \
		echo "make: the lowest versions have wheels for Python 3.10 to 3.13: make test-lowest PYTHON=python3.13" >&2; \
		exit 1; }
	@PIP_ONLY_BINARY=:all: $(MAKE) VENV=.venv-lowest CONSTRAINTS=constraints-lowest.txt \
		PYTHON="$(PYTHON)" ARGS='-m "not postgres" $(ARGS)' test

test-postgres: install-s3 ## the tests with a real PostgreSQL, which is installed on Debian when run as root
	@sh tests/postgres/install.sh
	@$(VENV)/bin/python -m pytest -n auto -m postgres tests/postgres tests/views tests/report/test_databases.py $(ARGS)

test-crash: install ## kills at each boundary of the protocol, and kills that cost more than the process
	@sh tests/crash/install.sh
	@$(VENV)/bin/python -m pytest -n auto tests/crash/test_variants.py tests/crash/test_kill_points.py \
		tests/crash/test_system_calls.py $(ARGS)

# What these need beside the rest stays out of `make install`, which is all that `make test` needs.
install-s3: install
	@if [ ! -e $(VENV)/.installed-s3 ]; then \
		echo "Installing a local S3 server into $(VENV) ..."; \
		$(PIP_INSTALL) -c "$(PINS)" --no-build-isolation -e ".[test-s3]" && touch $(VENV)/.installed-s3; \
	fi

test-s3: install-s3 ## the journal in an object store: a real client, a local S3 server, faults and kills
	@$(VENV)/bin/python -m pytest -n auto tests/s3 $(ARGS)

test-workflows: install-s3 ## GitHub's workflow, step by step in clean clones, with an S3 server and a real PostgreSQL
	@sh tests/postgres/install.sh
	@$(VENV)/bin/python -m pytest -n auto tests/workflows $(ARGS)

# One environment for both: DuckDB's extensions are built for one DuckDB, which is not that of constraints.txt.
install-lakes:
	@$(MAKE) VENV=.venv-lakes CONSTRAINTS="$(CONSTRAINTS)" PYTHON="$(PYTHON)" install-s3
	@.venv-lakes/bin/python -m pip --disable-pip-version-check install --no-compile -q \
		-r tests/lakehouse/requirements.txt -r tests/ducklake/requirements.txt

test-lakehouse: install-lakes ## Delta tables, on a disk and in an object store, and Spark that reads them; Iceberg tables; needs Java
	@sh tests/lakehouse/install.sh
	@.venv-lakes/bin/python -m pytest -n auto --dist loadfile tests/lakehouse $(ARGS)

test-ducklake: install-lakes ## a DuckLake: catalogs in SQLite and in PostgreSQL, files in a folder and in S3, kills, compaction
	@sh tests/postgres/install.sh
	@.venv-lakes/bin/python -m pytest -n auto tests/ducklake $(ARGS)

test-mariadb: install ## the tests with a real MariaDB, which is installed on Debian when run as root
	@sh tests/mariadb/install.sh
	@$(VENV)/bin/python -m pytest -n auto tests/mariadb $(ARGS)

test-airflow: install-s3 ## the DAG, in an Airflow of its own, into DuckDB and a real PostgreSQL
	@sh tests/postgres/install.sh
	@$(VENV)/bin/python -m tests.airflow.environment
	@$(VENV)/bin/python -m pytest tests/airflow $(ARGS)

test-receive: install ## 300 kills while it is pushed to, and pushes a second; writes into docs/benchmark.md
	@$(VENV)/bin/python -m tests.receiving.harness $(ARGS)
	@$(VENV)/bin/python -m tests.receiving.load --write

install-browser: install-s3
	@sh tests/report/install.sh
	@if [ ! -e $(VENV)/.installed-report ]; then \
		echo "Installing what drives a browser into $(VENV) ..."; \
		$(PIP_INSTALL) -c "$(PINS)" --no-build-isolation -e ".[test-report]" && touch $(VENV)/.installed-report; \
	fi

test-report: install-browser ## the page in a real browser, which is installed on Debian when run as root
	@$(VENV)/bin/python -m pytest tests/report/browser $(ARGS)

picture: install-browser ## docs/report.png, the page of the demo's data
	@$(VENV)/bin/python -m tests.report.picture docs/report.png

test-views: install ## the views in dlt's dashboard and in a marimo notebook
	@if [ ! -e $(VENV)/.installed-views ]; then \
		echo "Installing marimo into $(VENV) ..."; \
		$(PIP_INSTALL) -c "$(PINS)" --no-build-isolation -e ".[test-views]" && touch $(VENV)/.installed-views; \
	fi
	@$(VENV)/bin/python -m pytest -m "not long" tests/views/test_queries.py -k "dashboard or notebook" $(ARGS)

test-thorough: install ## 10,000 hostile answers of each kind, and a million simulated crashes
	@$(VENV)/bin/python -m pytest -n auto -m "long or not long" tests/test_fuzz.py tests/test_model.py --hypothesis-profile=thorough $(ARGS)

crash: install ## kills the job KILLS times (1,000) and looks whether anything was lost or doubled
	@$(VENV)/bin/python -m tests.crash.harness --kills $(KILLS) $(ARGS)

soak: install ## follows the queues for ROUNDS rounds (2,000) and looks whether anything grows; needs Linux
	@$(VENV)/bin/python -m tests.soak.soak --rounds $(ROUNDS) $(ARGS)

bench: install-s3 ## this connector beside four others, and its bars: over an hour; writes docs/benchmark.md; ARGS="--only views"
	@$(PIP_INSTALL) -c "$(PINS)" --no-build-isolation -e ".[bench]"
	@# Or the first contender would compile for the others.
	@$(VENV)/bin/python -m compileall -q $(VENV)/lib
	@$(VENV)/bin/python -m tests.benchmark $(ARGS)

check: install ## format, lint, types, dependencies, workflows, the examples, and the wheel that a user gets
	$(VENV)/bin/python -m ruff format --check $(SOURCES)
	$(VENV)/bin/python -m ruff check $(SOURCES)
	$(VENV)/bin/python -m mypy
	$(VENV)/bin/actionlint -shellcheck= -pyflakes= .github/workflows/*.yml
	$(VENV)/bin/zizmor --offline --no-progress --quiet .github/workflows
	$(VENV)/bin/python -m pip --disable-pip-version-check check
	@# No wheel of hadolint for this machine, or no systemd: the examples go unchecked here.
	@if test -x $(VENV)/bin/hadolint; then $(VENV)/bin/hadolint pipelines/container/Containerfile; fi
	@# The unit's program is where this checkout is, and not in /opt.
	@set -e; command -v systemd-analyze >/dev/null || exit 0; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; unit=tencent-sms.service; \
	sed "s|/opt/tencent-sms/bin|$$(pwd)/$(VENV)/bin|" pipelines/systemd/$$unit >"$$folder/$$unit"; \
	systemd-analyze verify "$$folder/$$unit"
	@$(MAKE) -s wheel
	@# Imported from outside the work tree, without the editable install: what the wheel lacks is missing.
	@set -e; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	$(PIP_INSTALL) --no-deps --target "$$folder" dist/*.whl; \
	test -f "$$folder/sms_source/py.typed"; \
	python=$$(pwd)/$(VENV)/bin/python; cd "$$folder"; \
	PYTHONPATH="$$folder" "$$python" -c 'import sms_source, os; assert sms_source.__file__.startswith(os.getcwd()), sms_source.__file__'; \
	PYTHONPATH="$$folder" "$$python" -m sms_source.simulator --help >/dev/null
	@echo "The checks passed."

format: install ## formats the code, and fixes what the linter can
	$(VENV)/bin/python -m ruff check --fix-only $(SOURCES)
	$(VENV)/bin/python -m ruff format $(SOURCES)

# Each file is the whole closure, of the project and its extras for development, as pip resolves it in a new environment.
# The lowest versions come from the lower bounds in pyproject.toml, a dependency a line.
constraints: ## makes the constraints files anew (needs Python 3.10 and 3.11)
	@for python in $(PYTHON_310) $(PYTHON_311); do \
		$$python -c 'import ensurepip, venv' 2>/dev/null || { \
			echo "make: $$python is needed: make constraints PYTHON_310=/path/to/python3.10 PYTHON_311=..." >&2; \
			exit 1; }; \
	done
	@set -e; \
	folder=$$(mktemp -d); trap 'rm -rf "$$folder"' EXIT; \
	: >"$$folder/none"; \
	sed -n -e '/^dependencies = \[/,/^\]/s/^  "\([^">]*\)>=\([0-9.]*\).*/\1==\2/p' \
		-e '/^\[project.optional-dependencies\]/,/^dev/s/^[a-z0-9]* = \["\([^">]*\)>=\([0-9.]*\).*/\1==\2/p' pyproject.toml \
		| sed 's/\[[^]]*\]//' >"$$folder/lowest"; \
	freeze() { \
		echo "Making $$1 ..."; \
		$$2 -m venv --clear "$$folder/venv"; \
		pip="$$folder/venv/bin/python -m pip --disable-pip-version-check"; \
		$$pip install -q --upgrade --upgrade-strategy eager --only-binary=:all: -c "$$3" ".[dev,test-s3,bench]"; \
		{ \
			echo "# Made by \`make constraints\`, with $$($$2 -V): $$4."; \
			$$pip freeze -q --all --exclude pip --exclude dlt-tencent-sms; \
		} >"$$folder/pins"; \
		cp "$$folder/pins" "$$1"; \
	}; \
	freeze constraints.txt "$(PYTHON_311)" "$$folder/none" "the newest versions, for Python 3.11 and newer"; \
	freeze constraints-3.10.txt "$(PYTHON_310)" "$$folder/none" "the newest versions for Python 3.10"; \
	freeze constraints-lowest.txt "$(PYTHON_310)" "$$folder/lowest" "the lower bounds of pyproject.toml, for Python 3.10 to 3.13"

clean: ## removes what the targets above made: environments, caches, the demo's database and journal
	@rm -rf .venv .venv-lowest .venv-lakehouse .venv-ducklake .venv-airflow .venv-singer .venv-airbyte build dist htmlcov .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@rm -rf .coverage .coverage.* sms_replies_demo.duckdb sms_replies_demo.duckdb.wal sms_replies_demo.html sms_journal_demo
	@find $(SOURCES) -name __pycache__ -type d -prune -exec rm -rf {} +
