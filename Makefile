# PYTHON=/path/to/python names the Python to use; otherwise tools/find_python looks for one.
# ARGS="-k 1x1" passes arguments to pytest, or to what else the target runs.
VENV := .venv
RUN := $(VENV)/bin/python

# What was typed, for the lines that advise to repeat it.
export TYPED := make $(MAKECMDGOALS)

help:
	@echo "make book    run the chapter and the examples, compare every output with the book's (3 minutes)"
	@echo "make test    run the fast tests (3 minutes; of one file: make test ARGS=tests/test_layer.py)"
	@echo "make test-slow  run the others: processes, browser, long loops (15 minutes)"
	@echo "make test-all   run all tests (18 minutes; one whole file: make test-all ARGS=tests/test_x.py)"
	@echo "make test-avx2  on a CPU with AVX-512: run those that depend on it as on one without"
	@echo "make lint    have ruff and mypy look at the code"
	@echo "make cover   run the tests and list the lines and branches that they don't reach"
	@echo "make pythons run the tests and the examples on every Python from 3.8 to 3.12 that is installed"
	@echo "make bench   compare the layer with nn.Conv2D here, for AVX-512 and AVX2 (half an hour)"
	@echo "make rule    measure the evidence for the rules of 'auto', benchmarks/rule*.md (20 minutes)"
	@echo "make docs    write docs/_build/html/index.html, the documentation as web pages (1 minute)"
	@echo "make page    write examples/output/page.html, which takes every sum apart, for a class (docs/lesson.md)"
	@echo "make notebook  open the chapter in Jupyter (1 minute; without a browser it prints the address)"
	@echo "make clean   remove $(VENV) and what building left"
	@echo "All but the last make $(VENV) by themselves (2 minutes), with the first suitable Python they"
	@echo "find, or that uv finds or downloads, or the one that PYTHON=/path/to/python names."

# SAYS is printed before anything is installed.
book: SAYS := the chapter and the examples, compared with the book: about 3 minutes
book: installed-examples
	@$(RUN) examples/run_all.py

# A short selection of networks; `benchmarks/networks.py --help` has the rest.
bench: installed-examples
	@$(RUN) benchmarks/convolutions.py --kernels avx512 avx2 --threads one all $(ARGS)
	@$(RUN) benchmarks/calls.py
	@$(RUN) benchmarks/concatenation.py
	@$(RUN) benchmarks/process.py
	@$(RUN) benchmarks/bad_input.py
	@$(RUN) benchmarks/networks.py

# ARGS="--threads all" measures with all cores, and writes benchmarks/rule*-all.md.
rule: installed-examples
	@$(RUN) benchmarks/convolutions.py --rule --kernels avx512 avx2 $(ARGS)
	@$(RUN) benchmarks/constant.py --kernels avx512 avx2 --docs

lint: installed-lint
	@$(RUN) -m ruff check
	@$(RUN) -m ruff format --check
	@$(RUN) -m mypy mxconv

cover: installed-test installed-lint
	@$(RUN) -m pytest --cov --cov-report=term $(ARGS)

pythons: installed-examples
	@$(RUN) -m pip install --quiet --disable-pip-version-check nox
	@$(RUN) -m nox $(ARGS)

page: installed-examples
	@$(RUN) examples/page.py

# The kernels of $(VENV) come before its user's, as python3 is often another Python there. What Jupyter
# doesn't trust it shows without its drawings. The default URL is both what it opens and what it prints.
CHAPTER := examples/channels.ipynb
notebook: SAYS := the chapter in Jupyter, until you press Ctrl-C: about a minute to install it
notebook: installed-notebook
	@$(RUN) -m nbformat.sign --log-level=WARN $(CHAPTER) >/dev/null
	@JUPYTER_PATH="$(VENV)/share/jupyter$${JUPYTER_PATH:+:$$JUPYTER_PATH}" \
		$(RUN) -m notebook -y --log-level=WARN --ServerApp.root_dir=. \
		--JupyterNotebookApp.default_url=/notebooks/$(CHAPTER) $(ARGS)

# There is a folder of this name, hence .PHONY. -E reads every page again, so no warning is missed.
.PHONY: docs
SITE := docs/_build/html
docs: SAYS := the documentation as web pages, where every warning is an error: about a minute
docs: installed-docs
	@$(RUN) -m sphinx -W --keep-going -q -E -d docs/_build/doctrees docs $(SITE)
	@echo "open $(SITE)/index.html in a browser"

test: SAYS := $(if $(ARGS),pytest -m "not slow" $(ARGS),the fast tests: about 3 minutes)
test: installed-test
	@$(RUN) -m pytest -m "not slow" $(ARGS)

test-slow: SAYS := $(if $(ARGS),pytest -m slow $(ARGS),the slow tests: about 15 minutes)
test-slow: installed-test
	@$(RUN) -m pytest -m slow $(ARGS)

test-all: SAYS := $(if $(ARGS),pytest $(ARGS),all tests: about 18 minutes)
test-all: installed-test
	@$(RUN) -m pytest $(ARGS)

# What depends on the CPU's kernels, as they are without AVX-512 on a CPU that has it.
test-avx2: SAYS := the tests that depend on the CPU's kernels, with those of AVX2
test-avx2: installed-test
	@DNNL_MAX_CPU_ISA=AVX2 $(RUN) -m pytest -m kernels $(ARGS)

clean:
	rm -rf $(VENV) $(VENV)-uv build dist *.egg-info .pytest_cache .hypothesis .nox
	rm -rf docs/_build
	find . -name __pycache__ -prune -exec rm -rf {} +

# -I keeps the folder mxconv/ itself, with its module names, off the search path.
installed-%: venv
	@tools/install $(VENV) $*
	@$(RUN) -I mxconv/_compat.py

venv:
	@$(if $(SAYS),$(info $(SAYS)))
	@tools/make_venv $(VENV) "$(PYTHON)"

.DEFAULT:
	$(error there is no target $@: `make help` lists them)

.PHONY: help bench book cover lint notebook page pythons rule test test-slow test-all test-avx2 clean venv
