# make demo         train and generate with a small Llama, see both explained
# make test         lint, types, import law and the whole test suite
# make test-gpu     memprof put to the test on a card, with the Python and packages found there
# make lint         ruff, mypy and import-linter only
# make bench        the table behind the README's overhead figures
# make lab          every system of the article, run: samples/RESULTS.md and docs/article.md
# make readme       the README's outputs, made anew by the commands it names
# make screenshots  the pictures of docs/images, taken anew
# make clean        remove the environment, the demo's files and all caches

PYTHON ?= $(shell command -v python3.11 || command -v python3.12 || command -v python3.13 || echo python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/ready

.PHONY: demo test test-gpu lint bench readme lab screenshots clean environment
.DEFAULT_GOAL := demo

demo: environment
	@$(BIN)/python tools/demo.py

test: lint
	@tools/chromium.sh
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(PYTEST_ARGS)

lint: environment
	@$(BIN)/ruff format --check --quiet . || { echo "mend it with: $(BIN)/ruff format ."; exit 1; }
	@$(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@PYTHONPATH=.:dashboard $(BIN)/lint-imports --no-cache --no-logo

bench: environment
	@$(BIN)/python benchmarks/overhead.py

test-gpu:
	@$(PYTHON) benchmarks/gpu.py

readme: environment
	@$(BIN)/python tools/readme.py

lab: environment
	@$(BIN)/python -m tools.lab
	@$(BIN)/python -m tools.article

screenshots: environment
	@$(BIN)/python tools/screenshots.py

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

environment: $(READY)

$(READY): pyproject.toml constraints.txt
	@tools/environment.sh "$(PYTHON)" "$(VENV)"
	@touch $@
