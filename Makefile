# `make demo` and `make test` do all the set-up on a fresh Debian or Ubuntu machine that has Python and a network for packages.
# Set-up is repeated only when the requirements change. VENV and PYTHON choose the environment's place and its interpreter.
VENV ?= .venv
REQUIREMENTS = pyproject.toml constraints.txt tools/setup

.PHONY: demo test clean

demo: $(VENV)/.ready
	$(VENV)/bin/slamfront demo

test: $(VENV)/.ready-dev
	VIRTUAL_ENV=$(abspath $(VENV)) tools/check

$(VENV)/.ready: $(REQUIREMENTS)
	tools/setup $(VENV)
	touch $@

$(VENV)/.ready-dev: $(REQUIREMENTS)
	tools/setup $(VENV) '[bags,cluster,dev,render]'
	touch $(VENV)/.ready $@

clean:
	rm -rf $(VENV) .mypy_cache .pytest_cache .ruff_cache build *.egg-info
