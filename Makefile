# make help lists the targets.

PYTHON ?= python3
BACKENDS ?= tensorflow jax
WORKERS ?= 2
BENCHMARKS ?= sparse_attentive_backtracking backward_replay z_forcing \
	variational_walkback professor_forcing distribution
EXAMPLE ?= copying_memory
ARGS ?=

# tensorflow-probability (demo) and tfp-nightly (tests) install the same module,
# so each has its own environment.
DEMO := .venv
TEST := .venv-test

export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: help demo test lint docs dist benchmark clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s%s\n", $$1, $$2 }' \
		$(firstword $(MAKEFILE_LIST))

demo: $(DEMO)/.installed ## Learn to recall over 100 steps (EXAMPLE=sequential_digits)
	$(DEMO)/bin/python examples/$(EXAMPLE).py $(ARGS)

test: $(TEST)/.installed ## Run all tests (BACKENDS=jax for one backend, ARGS="-k sab")
	@status=0; \
	for backend in $(BACKENDS); do \
		echo "KERAS_BACKEND=$$backend"; \
		KERAS_BACKEND=$$backend $(TEST)/bin/python -m pytest \
			-n $(WORKERS) --dist loadfile --no-loadscope-reorder \
			$(ARGS) || status=1; \
	done; \
	exit $$status

lint: $(TEST)/.installed ## Check style, types and spelling
	$(TEST)/bin/python -m ruff check .
	$(TEST)/bin/python -m ruff format --check .
	$(TEST)/bin/python -m mypy
	$(TEST)/bin/python -m codespell_lib

docs: $(TEST)/.installed ## Run the tutorials, build the site into site/, check its links
	NO_MKDOCS_2_WARNING=1 $(TEST)/bin/python -m mkdocs build --strict --quiet

dist: $(TEST)/.installed ## Build the sdist and the wheel into dist/ and check them
	rm -rf dist
	$(TEST)/bin/python -m build --outdir dist
	$(TEST)/bin/python -m twine check --strict dist/*

benchmark: $(TEST)/.installed ## Time and measure the layers (BENCHMARKS=z_forcing for one)
	@set -e; \
	for backend in $(BACKENDS); do \
		for name in $(BENCHMARKS); do \
			KERAS_BACKEND=$$backend $(TEST)/bin/python -m \
				examples.benchmarks.$$name $(ARGS); \
		done; \
	done

clean: ## Delete environments, caches and build outputs
	rm -rf $(DEMO) $(TEST) build dist site *.egg-info .coverage htmlcov \
		.mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(DEMO)/.installed: EXTRAS := tensorflow,examples
$(TEST)/.installed: EXTRAS := test,docs
$(DEMO)/.installed $(TEST)/.installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' || { \
		echo "Expected Python 3.11 to 3.13, received: $$($(PYTHON) --version 2>&1)." \
			"Name another one, such as: make $(MAKECMDGOALS) PYTHON=python3.12" >&2; \
		exit 1; \
	}
	$(PYTHON) -m venv $(@D)
	@echo "Installing into $(@D); the first time takes a few minutes."
	@$(@D)/bin/python -m pip install --quiet --disable-pip-version-check \
		--editable '.[$(EXTRAS)]'
	@touch $@
