# `make help` lists the targets. Needs Python 3.11 or later with venv, and make; everything else is installed here.
PYTHON ?= python3
DEMO := .venv-demo
# Where `make install` puts the program of this user, as pipx does.
PREFIX ?= $(HOME)/.local
INSTALLED := $(PREFIX)/share/galaxy-edge/env
TEST := .venv-test
FOR ?= desktop-x86
DEVICE_PYTHON ?= 3.11
EXTRAS := train,study,detector,export,bench,docs,dev
# Two workers, each with whole files; files with slow tests come first (tests/conftest.py).
PARALLEL := --numprocesses 2 --dist loadfile --no-loadscope-reorder

# Tests start many processes of the package: they keep its bytecode, even where the environment forbids it.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo install uninstall deb fmt lint types site pictures test-fast tests test sign-models clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: $(DEMO)/ready  ## Run both networks over the demo sky (device environment, about 300 MB)
	$(DEMO)/bin/galaxy-edge run --camera demo --out galaxy-edge-out

install:  ## Put galaxy-edge on your PATH, with everything that `run` can use (about 600 MB)
	@echo "installing into $(INSTALLED) (a minute) ..."
	@$(PYTHON) -m venv --clear "$(INSTALLED)"
	@"$(INSTALLED)/bin/pip" install --quiet --disable-pip-version-check \
		--require-hashes --only-binary :all: --requirement constraints/device-extras.txt
	@"$(INSTALLED)/bin/pip" install --quiet --disable-pip-version-check --no-deps --no-build-isolation . ./models/more_sizes
	@mkdir -p "$(PREFIX)/bin" && ln -sfn "$(INSTALLED)/bin/galaxy-edge" "$(PREFIX)/bin/galaxy-edge"
	@rm -rf build models/more_sizes/build
	@"$(PREFIX)/bin/galaxy-edge" --version
	@case ":$$PATH:" in *":$(PREFIX)/bin:"*) echo "next: galaxy-edge run --camera demo --serve 8080";; \
		*) echo "$(PREFIX)/bin is not on your PATH yet. In this terminal:"; \
		echo "  export PATH=\"$(PREFIX)/bin:\$$PATH\""; \
		[ "$(PREFIX)" != "$(HOME)/.local" ] || echo "Debian adds it at your next login."; \
		echo "Then: galaxy-edge run --camera demo --serve 8080";; esac

uninstall:  ## Remove what `make install` installed
	rm -rf "$(PREFIX)/share/galaxy-edge/env" "$(PREFIX)/bin/galaxy-edge"

fmt: $(TEST)/ready  ## Format the code and sort the imports
	$(TEST)/bin/ruff check --select I --fix .
	$(TEST)/bin/ruff format .

lint: $(TEST)/ready  ## Check style, formatting and spelling
	$(TEST)/bin/ruff check .
	$(TEST)/bin/ruff format --check .
	$(TEST)/bin/codespell

# The repository root is the package: a type checker finds it under its name through this link.
types: $(TEST)/ready  ## Check types with mypy --strict
	mkdir -p $(TEST)/types && ln -sfn "$(CURDIR)" $(TEST)/types/galaxy_edge
	MYPYPATH=$(TEST)/types $(TEST)/bin/mypy --package galaxy_edge

site: $(TEST)/ready  ## Build the documentation in build/site; a broken link is an error
	NO_MKDOCS_2_WARNING=1 $(TEST)/bin/mkdocs build --strict --site-dir build/site

pictures: $(TEST)/ready  ## Draw the README's animated picture (needs astrometry.net and its Tycho-2 index)
	$(TEST)/bin/python docs/draw_demo.py

test-fast: $(TEST)/ready  ## Run the tests that take seconds
	$(TEST)/bin/python -m pytest $(PARALLEL) -m "not slow"

tests: $(TEST)/ready  ## Run all tests, and measure the coverage of four rooms
	$(TEST)/bin/python -m pytest $(PARALLEL) --durations 40 --durations-min 5 --cov --cov-report=term:skip-covered

test: lint types site tests  ## Check style, types and documents and run all tests

# The device install: what a telescope's computer needs, and no more.
$(DEMO)/ready: pyproject.toml constraints/device.txt
	@echo "making the device environment in $(DEMO) (about 300 MB, a minute) ..."
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check \
		--require-hashes --only-binary :all: --requirement constraints/device.txt
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(TEST)/ready: pyproject.toml constraints/workstation.txt
	@echo "making the workstation environment in $(TEST) (about 4 GB, some minutes) ..."
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --disable-pip-version-check --constraint constraints/workstation.txt --editable '.[$(EXTRAS)]'
	touch $@

deb: $(TEST)/ready  ## Make a Debian package in dist/: make deb FOR=raspberry-pi-5 DEVICE_PYTHON=3.13
	$(TEST)/bin/galaxy-edge wheelhouse --for $(FOR) --python $(DEVICE_PYTHON) --out build/wheels-$(FOR)-$(DEVICE_PYTHON)
	SOURCE_DATE_EPOCH=$$(git log -1 --format=%ct) $(TEST)/bin/python -m galaxy_edge.devices.deploy.debian \
		build/wheels-$(FOR)-$(DEVICE_PYTHON) dist

sign-models: $(TEST)/ready  ## Sign the shipped bundles after one was replaced: make sign-models KEY=PATH/release.key
	$(TEST)/bin/python -m galaxy_edge.models.release --key "$(KEY)"

clean:  ## Remove the environments and build folders
	rm -rf $(DEMO) $(TEST) build dist *.egg-info
