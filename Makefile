# Everything that a person does with this repository. Needs Python >= 3.11 and make (GNU make 3.81 or newer).
# `make` alone lists the targets.

# The first Python on the PATH that is new enough; say PYTHON=/some/python to choose another.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && exit; done; echo python3)
DURATION ?= 60
FLEET ?= examples/orbit.yaml
TESTS ?= tests
E2E ?= tests/e2e
SEEDS ?= 2000
FROM ?= 0
HOURS ?= 5-9

VENV := .venv
BIN := $(VENV)/bin
LOCK := requirements-dev.txt
STAMP := $(VENV)/.installed
# pip would otherwise talk about itself in the middle of our output.
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help install demo test lint types imports generated pytest verify simulate variants flights flights-cluster bench bench-quick bench-throughput bench-costs bench-map bench-operator performance flame chaos chaos-quick chaos-compare model model-quick kind-up kind-down e2e fuzz lock clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/\1|\2/p' Makefile | while IFS='|' read -r name text; do \
		printf '  make %-15s %s\n' "$$name" "$$text"; done

install: $(STAMP) ## make .venv with the command shardfleet in it, from the lock; nothing to do when up to date

$(STAMP): $(LOCK) pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "shardfleet needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | tail -1)." \
			"Name another one: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; exit 2; }
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || { rm -rf $(VENV) && $(PYTHON) -m venv $(VENV) >/dev/null; } || { \
		rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu it is a package of its own:" \
			"apt-get install python3-venv" >&2; exit 2; }
	$(BIN)/python -m pip install --quiet --requirement $(LOCK)
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $(STAMP)

demo: install ## run examples/orbit.yaml for DURATION seconds (60): four shards, fifty entities, a live table
	$(BIN)/shardfleet local up -f $(FLEET) --duration $(DURATION)

test: install lint types imports generated pytest ## install, then every check and every test (a quarter of an hour on two cores)

lint: install ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: install ## mypy, strict
	$(BIN)/mypy

imports: install ## import-linter: layers, and a core without I/O
	$(BIN)/lint-imports --no-logo

generated: install ## generated code and reference pages are what their sources say
	$(BIN)/python proto/generate.py --check
	$(BIN)/python -m shardfleet_operator.cli.reference --check
	$(BIN)/python -m shardfleet_operator.cli.environment_reference --check
	$(BIN)/python -m shardfleet_operator.resource.reference --check
	$(BIN)/python -m shardfleet_operator.cluster.metrics_reference --check
	$(BIN)/python -m shardfleet_operator.cluster.chart_reference --check
	cmp crds/shardfleets.yaml charts/shardfleet/files/shardfleets.yaml

pytest: install ## the tests alone; TESTS=tests/unit for some of them
	$(BIN)/python -m pytest $(TESTS)

verify: install ## regenerate, fail where that changes a tracked file, then all of make test
	$(BIN)/python proto/generate.py
	$(BIN)/python -m shardfleet_operator.cli.reference
	$(BIN)/python -m shardfleet_operator.cli.environment_reference
	$(BIN)/python -m shardfleet_operator.resource.reference
	$(BIN)/python -m shardfleet_operator.cluster.metrics_reference
	$(BIN)/python -m shardfleet_operator.cluster.chart_reference
	cp crds/shardfleets.yaml charts/shardfleet/files/shardfleets.yaml
	$(BIN)/python -m shardfleet_shard.store.acl > charts/shardfleet/files/redis-acl.txt
	git diff --exit-code --stat -- proto docs/reference charts
	$(MAKE) test

simulate: install ## a fleet on virtual time under faults: SEEDS=2000 runs FROM=0 on; STATE=FILE keeps totals and goes on
	$(BIN)/python -m tests.simulation run --seeds $(SEEDS) --from $(FROM) $(if $(STATE),--state $(STATE))

variants: install ## protocols that are known to be wrong: the simulation must find each within 5,000 seeds
	$(BIN)/python -m tests.simulation variants

flights: install ## a day of recorded aircraft over Switzerland through six shards
	$(BIN)/python examples/flights/run.py

# The whole day, through the same test that `make e2e` runs on four hours of it.
flights-cluster: ## the same on the kind cluster: six pods, proved by their traces
	$(MAKE) e2e E2E=tests/e2e/test_3_flights.py HOURS=0-24

bench: install ## every figure three times, into build/bench.json
	$(BIN)/python -m tests.performance.bench --out build/bench.json

bench-quick: install ## every figure once, in under a minute, into build/bench.json
	$(BIN)/python -m tests.performance.bench --quick --out build/bench.json

bench-throughput: install ## handoffs a second by shards, entities and Redis' durability, into build/throughput.json
	$(BIN)/python -m tests.performance.bench.throughput --out build/throughput.json

bench-costs: install ## what features, wide rows and many entities cost, into build/costs.json; ONLY=NAME, QUICK=1
	$(BIN)/python -m tests.performance.bench.costs $(if $(QUICK),--quick) $(if $(ONLY),--only $(ONLY)) --out build/costs.json

bench-map: install ## the live map with 50,000 entities in a headless Chromium, into build/map.json
	$(BIN)/python -m tests.performance.map_bench --out build/map.json

performance: bench bench-throughput bench-costs bench-map ## all four (an hour), and docs/performance.md from them
	$(BIN)/python -m tests.performance.page

# py-spy is of no use elsewhere; on Linux it wants root to look into a process that is not its child.
flame: install ## two flame graphs of a loaded shard, into docs/images
	$(BIN)/python -m pip install --quiet 'py-spy>=0.4,<1'
	$(BIN)/python -m tests.performance.flame --out docs/images

# atheris is of no use elsewhere, and has wheels for Linux alone.
fuzz: install ## whatever reads bytes of others, given bytes of nobody, for MINUTES=10; TARGET=frame for one alone
	$(BIN)/python -m pip install --quiet 'atheris>=3,<4'
	$(BIN)/python -m tests.fuzz --minutes $(or $(MINUTES),10) $(if $(TARGET),--target $(TARGET))

model: install ## the protocol's model in docs/spec: all configurations and all known-wrong variants (needs spin and gcc)
	$(BIN)/python -m tests.model.check

model-quick: install ## two configurations and a variant of each, in seconds
	$(BIN)/python -m tests.model.check --quick

# Builds Kubernetes and etcd once, into the cache of tests/cluster; Linux and Go alone.
bench-operator: install ## the operator with 1,000 simulated pods in one fleet, and 200 fleets; QUICK=1 for 50 and 10
	$(BIN)/python -m tests.performance.operator_bench $(if $(QUICK),--quick) --out build/bench-operator.json

CHAOS = $(BIN)/python -m tests.chaos $(if $(MINUTES),--minutes $(MINUTES)) $(if $(SEED),--seed $(SEED)) \
	$(if $(KINDS),--kinds $(KINDS)) $(if $(RATE),--rate $(RATE)) $(if $(RUNS),--runs $(RUNS))

chaos: install ## real processes under 200 faults in MINUTES=10; SEED=, KINDS=, RATE= choose (see tests/chaos/README.md)
	$(CHAOS) --out build/chaos.json

chaos-quick: install ## each kind of fault once or twice, at a small rate
	$(CHAOS) --quick --out build/chaos.json

chaos-compare: install ## kill -9 of one of two shards under load, RUNS=5 times: owned, ownerless and doubled 5 s later
	$(CHAOS) compare --out build/chaos.json

kind-up: ## a Kubernetes cluster of three kind nodes; KUBECONFIG is build/kubeconfig (see tests/cluster/README.md)
	$(PYTHON) -m tests.cluster up

kind-down: ## take that cluster away; what was built for it stays in the cache
	$(PYTHON) -m tests.cluster down

# Never on whatever cluster the shell happens to be logged in to: another one than our own must be named here.
ifeq ($(origin KUBECONFIG),command line)
e2e: install ## tests/e2e on the kind cluster; on another one: make e2e KUBECONFIG=FILE IMAGE=one-that-its-nodes-can-pull
	@test -n "$(IMAGE)" || { echo "That cluster needs the image from somewhere: push what 'docker build .' makes, then" \
		"make e2e KUBECONFIG=$(KUBECONFIG) IMAGE=registry.example/shardfleet:dev" >&2; exit 2; }
	$(e2e-run)
else
e2e: KUBECONFIG = $(CURDIR)/build/kubeconfig
e2e: IMAGE = shardfleet:dev
e2e: RAIN_IMAGE = shardfleet-rain:dev
e2e: FLIGHTS_IMAGE = shardfleet-flights:dev
e2e: install
	$(BIN)/python examples/flights/prepare.py --out build/flights-e2e --hours $(HOURS)
	$(PYTHON) -m tests.cluster up
	$(PYTHON) -m tests.cluster image --tag $(IMAGE) --also $(RAIN_IMAGE)=examples/simulation-plugin \
		--also $(FLIGHTS_IMAGE)=build/flights-e2e --load
	$(e2e-run)
endif

# Progress is worth seeing, so nothing is captured.
define e2e-run
kubectl=$$($(PYTHON) -m tests.cluster tool kubectl) && helm=$$($(PYTHON) -m tests.cluster tool helm) && \
	KUBECONFIG="$(KUBECONFIG)" SHARDFLEET_IMAGE="$(IMAGE)" SHARDFLEET_RAIN_IMAGE="$(RAIN_IMAGE)" \
	SHARDFLEET_FLIGHTS_IMAGE="$(FLIGHTS_IMAGE)" KUBECTL="$$kubectl" HELM="$$helm" \
	$(BIN)/python -m pytest -s -v --durations=25 $(E2E)
endef

# Resolved anew to the newest versions that pyproject.toml allows, in a venv of its own. A requirement that only some
# Pythons have is named with its marker, for pip freeze sees one Python alone.
lock: ## write requirements-dev.txt anew
	rm -rf build/lock
	$(PYTHON) -m venv build/lock
	build/lock/bin/python -m pip install --quiet --upgrade pip
	build/lock/bin/python -m pip install --quiet --group dev --editable . hatchling editables async-timeout
	{ echo "# Versions for development, written by 'make lock'; Linux and macOS, Python 3.11 to 3.13. Do not edit."; \
		build/lock/bin/python -m pip freeze --exclude-editable --exclude shardfleet \
		| sed 's/^\(async-timeout==.*\)/\1 ; python_full_version < "3.11.3"/'; } > $(LOCK)
	rm -rf build/lock

clean: ## remove .venv, build and caches; worlds under .shardfleet stay
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
