# Three commands: `make course`, `make run` and `make test`. Any may come first; none installs twice.
PYTHON ?= python3
ifeq ($(OS),Windows_NT)
BIN := .venv/Scripts
else
BIN := .venv/bin
endif
ARGS ?=
DATA ?=
REPOSITORY ?=
SHARP ?=

.PHONY: course run test test-browser test-flower test-flower-kills test-mutations lint bench report lab notebooks pages book slides try-binder clean

course: .venv/run.stamp
	$(BIN)/python -m pfmsm_lite course $(ARGS)

run: .venv/run.stamp
	$(BIN)/python -m pfmsm_lite run $(ARGS)

test: .venv/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

test-browser: .venv/browser.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rfEsP tests/browser $(ARGS)

# Real processes: Flower comes as an extra, and stays beside the other packages.
test-flower: .venv/flower.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rfEsP -m "not slow" tests/flower $(ARGS)

# Processes killed, keys of strangers, machines apart: a quarter of an hour.
test-flower-kills: .venv/flower.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -rfEs -m slow tests/flower $(ARGS)

# Operators of the package are broken one by one: does the chapter that teaches each notice? Some minutes.
test-mutations: .venv/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 -m slow tests/notebooks/test_mutations.py $(ARGS)

lint: .venv/test.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/ty check pfmsm_lite/*.py

# For maintainers: the committed notebooks themselves, and their outputs.
lab: .venv/test.stamp
	$(BIN)/python -m jupyterlab --ServerApp.root_dir=. notebooks/00_start_here.ipynb

notebooks: .venv/test.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pfmsm_lite notebooks $(ARGS)

report: .venv/run.stamp
	OMP_NUM_THREADS=1 $(BIN)/python -m pfmsm_lite report $(DATA) $(ARGS)

# The pages of notebooks/results, from the CSVs there, and those of notebooks/teaching that the chapters give.
pages: .venv/run.stamp
	$(BIN)/python -m pfmsm_lite.lab.pages $(ARGS)
	$(BIN)/python -m pfmsm_lite.course.handouts

# The committed notebooks as a site: a warning is an error. Nothing is executed, but with SHARP=1: then all
# chapters are run once (some minutes), for pictures twice as sharp.
book: .venv/book.stamp
	$(if $(SHARP),OMP_NUM_THREADS=1 $(BIN)/python -m pfmsm_lite notebooks --sharp build/sharp)
	rm -rf build/book
	REPOSITORY=$(REPOSITORY) $(BIN)/python -m sphinx -q -E -W --keep-going -d build/doctrees -c book . build/book
	@echo "build/book/index.html$(if $(REPOSITORY),,: no buttons for Binder and Colab without REPOSITORY=https://github.com/owner/name)"

slides: .venv/run.stamp
	$(BIN)/python -m pfmsm_lite.course.slides $(ARGS)

# A fresh environment from the file that Binder and Colab read, and chapter 00 in it: some minutes.
try-binder:
	rm -rf build/binder
	$(PYTHON) -m venv build/binder
	$(BIN:.venv/%=build/binder/%)/python -m pip install --quiet --disable-pip-version-check -r .binder/requirements.txt
	$(BIN:.venv/%=build/binder/%)/python -m papermill --cwd notebooks notebooks/00_start_here.ipynb build/binder/00.ipynb

bench: .venv/run.stamp
	$(BIN)/python -m pfmsm_lite bench

.venv/run.stamp: requirements.txt
	$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; name one with make PYTHON=...')"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

.venv/test.stamp: .venv/run.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[test]'
	touch $@

.venv/browser.stamp: .venv/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[browser,book]'
	touch $@

.venv/flower.stamp: .venv/test.stamp
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[flower]'
	touch $@

.venv/book.stamp: .venv/run.stamp pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[book]'
	touch $@

clean:
	rm -rf .venv build
