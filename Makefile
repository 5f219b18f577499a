# Works with the GNU Make 3.81 of macOS. What takes more than a line is in scripts/.
.PHONY: help demo sweep sweep-zones fuzz test test-tools interop interop-tools lint bench audit sbom frontend man release lock setup setup-run clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' Makefile

demo: setup-run ## run 12 peers and a dashboard here, until Ctrl-C; options: ARGS="--peers 30"
	@exec .venv/bin/peerscope demo $(ARGS)

test: setup ## run all tests; some of them: ARGS="-k gossip"; REQUIRE_ALL=1 forbids skipping for want of a program
	@exec scripts/test $(ARGS)

test-tools: ## install the third-party programs that tests use (needs root and apt-get)
	@scripts/test-tools

interop-tools: ## build current releases of the programs we talk to into .interop/ (needs Go; takes long)
	@scripts/interop-tools $(ARGS)

interop: setup ## run those against us, and write docs/reference/interop.md
	@.venv/bin/python scripts/interop $(ARGS)

sweep: setup ## simulate every scenario with many seeds; for SECONDS=600
	@.venv/bin/python scripts/sweep --seconds $(or $(SECONDS),600) $(ARGS)

sweep-zones: setup ## simulate every scenario of several zones with SEEDS=50 seeds; about two hours of one core
	@.venv/bin/python scripts/sweep --zones --unsigned --seeds $(or $(SEEDS),50) $(ARGS)

fuzz: setup ## feed what parses bytes from outside with damaged ones; for SECONDS=60; ARGS="--replay FILE"
	@.venv/bin/python scripts/fuzz --seconds $(or $(SECONDS),60) $(ARGS)

lint: setup ## check style, formatting, types, prose, and that the core is pure
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy --strict src/peerscope
	.venv/bin/python scripts/check-purity
	.venv/bin/python scripts/structure --check
	.venv/bin/codespell *.md docs src scripts
	.venv/bin/python scripts/check-prose

bench: setup ## run every program in benchmarks/
	@for program in benchmarks/[a-z]*.py; do \
		echo "== $$program"; .venv/bin/python "$$program" $(ARGS) || exit 1; \
	done

audit: setup ## ask whether anything we install has a known vulnerability (needs the network)
	@.venv/bin/python scripts/audit $(ARGS)

sbom: setup ## list everything that is installed to run peerscope, as CycloneDX, into dist/peerscope.cdx.json
	@.venv/bin/python scripts/sbom

frontend: ## build the dashboard's scripts (needs Node.js; the result is committed, so nobody else does)
	cd frontend && npm ci && npm run build

man: setup-run ## write the manual page, dist/peerscope.1
	@.venv/bin/python scripts/man

release: setup ## build wheel, sdist, SBOM and manual page into dist/
	@scripts/release

lock: setup ## write requirements/*.lock anew from pyproject.toml; ARGS=--upgrade takes the newest versions
	@scripts/lock $(ARGS)

setup: setup-run ## prepare .venv for tests and linting (the others do it by themselves)
	@scripts/setup dev

# First the lighter half, so that `make -j demo test` never installs twice into one .venv.
setup-run:
	@scripts/setup run

clean: ## remove .venv and every cache
	rm -rf .venv dist build .hypothesis .mypy_cache .pytest_cache .ruff_cache frontend/node_modules
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
