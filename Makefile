# Each word does what it says, from a fresh clone on: .venv is made on the first use and kept up to date.
PYTHON := .venv/bin/python
.PHONY: demo run check test bench soak interop requirements clean

demo: .venv/runs         # look around: a private database, sample archives, the admin
	DATABASE_URL=embedded: $(PYTHON) manage.py demo $(ARGS)

run: .venv/ready         # serve with the settings of .env
	$(PYTHON) manage.py migrate --no-input && $(PYTHON) manage.py collectstatic --no-input -v 0
	$(PYTHON) -m uvicorn config.asgi:application --lifespan off

check: .venv/ready       # style, types and stairs
	.venv/bin/ruff check && .venv/bin/ruff format --check && .venv/bin/mypy && .venv/bin/lint-imports

test: .venv/ready        # the whole suite, on every edition found: make test ARGS="-k import"
	$(PYTHON) -m tests.run_editions $(ARGS)

bench: .venv/ready       # the tables of docs/performance.md
	$(PYTHON) -m tests.benchmarks $(ARGS)

soak: .venv/ready        # the fault campaigns at full size: make soak ARGS="--runs 20 --seed 7", or --live, or --live-minutes 60
	$(PYTHON) -m tests.soak $(ARGS)

interop: .venv/ready     # exported files opened by freqtrade, nautilus_trader, backtesting.py, vectorbt (installs them in var/interop)
	INTEROP=1 $(PYTHON) -m pytest tests/interop $(ARGS)

requirements:            # pin again what *.in ask for (needs uv)
	for name in requirements requirements-dev; do uv pip compile --universal --python-version 3.11 --generate-hashes \
	  --no-strip-extras --no-emit-index-url --no-header -q $$name.in -o $$name.txt; done
	for name in tests/interop/requirements/*.in; do uv pip compile --universal --python-version 3.11 \
	  --no-emit-index-url --no-header --no-annotate -q $$name -o $${name%.in}.txt; done

clean:                   # forget the environment, the private database and what tools left
	rm -rf "$$(readlink -f var/postgres)" var .venv static .mypy_cache .ruff_cache .pytest_cache .import_linter_cache

.venv/runs: requirements.txt
.venv/ready: requirements-dev.txt
.venv/runs .venv/ready:
	@python3 -c 'import sys; sys.exit("Python 3.11 or newer is needed." if sys.version_info < (3, 11) else 0)'
	test -x $(PYTHON) || python3 -m venv .venv
	{ command -v uv >/dev/null && uv pip install -q --python $(PYTHON) --require-hashes -r $<; } || \
	  $(PYTHON) -m pip install -q --disable-pip-version-check --require-hashes -r $<
	touch $@
