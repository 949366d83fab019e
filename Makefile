# Kith: `make run` sets up and talks, `make test` sets up and checks everything, `make help` lists the rest.
# Plain POSIX sh; needs nothing but make and Python 3.11 or later.

SHELL = /bin/sh
VENV = .venv
PY = $(VENV)/bin/python
RUN_STAMP = $(VENV)/.run-stamp
DEV_STAMP = $(VENV)/.dev-stamp
LOCK = uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links \
       --custom-compile-command "make lock"

.PHONY: help run web setup dev test rest fast check proto lock clean bench crash simulate

help:
	@echo "make run      set up what is missing, start Kith and talk with it"
	@echo "make setup    set up .venv and stop"
	@echo "make test     set up the tools of a developer and run every test"
	@echo "make rest     of these, all but the unit tests of the web app"
	@echo "make fast     only the tests that start no server, model or browser"
	@echo "make check    style, types, floor plan, house rules"
	@echo "make web      build the web app (needs Node 20.19 or later)"
	@echo "make bench    every benchmark, one after the other"
	@echo "make crash    kill a real server KILLS times on BACKEND (sqlite, postgres, all)"
	@echo "make simulate live SEEDS lives of a simulated household"
	@echo "make proto    compile the description of the gRPC door again"
	@echo "make lock     work out the locked requirements again (needs uv)"
	@echo "make clean    remove .venv and everything that was built"

run: setup
	@sh scripts/web.sh beside
	@$(VENV)/bin/kith run

web:
	@sh scripts/web.sh build

setup: $(RUN_STAMP)

dev: $(DEV_STAMP)

# The stamps are younger than what they were made from, so a second start does nothing here.
$(RUN_STAMP): requirements/run.txt pyproject.toml scripts/setup.sh
	@sh scripts/setup.sh $(VENV) requirements/run.txt
	@touch $@

$(DEV_STAMP): requirements/dev.txt requirements/synapse.txt scripts/servers.sh scripts/beside.sh $(RUN_STAMP)
	@sh scripts/beside.sh "sh scripts/setup.sh $(VENV) requirements/dev.txt" "KITH_VENV=$(VENV) sh scripts/servers.sh"
	@touch $@

test: dev
	@sh scripts/web.sh unit
	@$(MAKE) rest

# Most of these tests wait most of their time, each on its own house, its own servers and its own ports: two at a time.
# The tests of a file stay together, in their order, and the long ones are not the last; the browser's run beside them.
rest: dev
	@sh scripts/web.sh build
	@sh scripts/beside.sh "KITH=$(CURDIR)/$(VENV)/bin/kith sh scripts/web.sh e2e" "$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder"

fast: dev
	@$(PY) -m pytest -m "not server"

check: dev
	@$(PY) -m pytest tests/test_house.py tests/test_docs.py

bench: dev
	@set -e; for file in benchmarks/*.py; do \
	  name=$$(basename "$$file" .py); \
	  case "$$name" in __init__|report|house|readers|soak|trainer) continue;; esac; \
	  echo "== $$name"; $(PY) -m benchmarks.$$name; \
	done

KILLS = 200
BACKEND = sqlite
crash: dev
	@$(PY) -m tests.crash --kills $(KILLS) --backend $(BACKEND)

SEEDS = 1000
simulate: dev
	@$(PY) -m tests.simulation --seeds $(SEEDS)

# What tests run with: every extra except transformers and diffusion, whose torch alone is larger than all the rest.
EXTRAS = acme ctranslate2 delta email grpc llama matrix mcp mqtt onnx passkeys postgres \
         s3 slack telegram xmpp
proto: dev
	@$(PY) scripts/make_proto.py

lock:
	$(LOCK) pyproject.toml requirements/build.in --extra llama -o requirements/run.txt
	$(LOCK) requirements/synapse.in -o requirements/synapse.txt
	$(LOCK) pyproject.toml requirements/build.in $(EXTRAS:%=--extra %) --group dev -c requirements/run.txt -o requirements/dev.txt

clean:
	rm -rf web/node_modules web/dist web/.note web/.log src/kith/gateway/pages
	rm -rf $(VENV) build dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
