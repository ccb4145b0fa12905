# Two commands for a machine with only Python 3.11+, venv and make: `make demo` and `make test`.
PYTHON ?= python3
DEMO := .venv-demo
TEST := .venv-test
EXTRAS := train,study,detector,export,bench,dev

.PHONY: demo test lint types tests clean

demo: $(DEMO)/ready
	$(DEMO)/bin/galaxy-edge run --camera demo --out galaxy-edge-out

test: lint types tests

lint: $(TEST)/ready
	$(TEST)/bin/ruff check .

# The repository root is the package: a type checker finds it under its name through this link.
types: $(TEST)/ready
	mkdir -p $(TEST)/types && ln -sfn "$(CURDIR)" $(TEST)/types/galaxy_edge
	MYPYPATH=$(TEST)/types $(TEST)/bin/mypy --package galaxy_edge

tests: $(TEST)/ready
	$(TEST)/bin/python -m pytest --numprocesses 2 --dist loadfile

# The device install: what a telescope's computer needs, and no more.
$(DEMO)/ready: pyproject.toml
	@echo "making the device environment in $(DEMO) (about 300 MB, a minute) ..."
	$(PYTHON) -m venv $(DEMO)
	$(DEMO)/bin/pip install --quiet --disable-pip-version-check --editable .
	touch $@

$(TEST)/ready: pyproject.toml constraints/workstation.txt
	@echo "making the workstation environment in $(TEST) (about 4 GB, some minutes) ..."
	$(PYTHON) -m venv $(TEST)
	$(TEST)/bin/pip install --quiet --disable-pip-version-check --constraint constraints/workstation.txt --editable '.[$(EXTRAS)]'
	touch $@

clean:
	rm -rf $(DEMO) $(TEST) build dist *.egg-info
