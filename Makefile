# make        a trained network becomes Verilog in build/zcu102, proved bit-exact in Verilator
# make test   lint and tests
# make soak   the tests, with many more random examples, others each time: hours
# make figures   the long measurements of docs/figures.md
# make clean  removes what the above made, the virtual environment included

PYTHON ?= python3
VENV ?= .venv
BOARD ?= zcu102
JOBS ?= 2
PIP := $(VENV)/bin/python -m pip --disable-pip-version-check
RUN := $(VENV)/bin/python

# Threads of a BLAS that wait for each other cost more than they bring at these sizes.
export OPENBLAS_NUM_THREADS ?= 1
# Variables and options given to this make are not meant for the one that Verilator calls.
unexport MAKEFLAGS

.PHONY: zcu102 test soak figures clean
zcu102: $(VENV)/installed
	$(RUN) -m cores.build --board $(BOARD) --out build/$(BOARD)
	$(RUN) -m sim.run build/$(BOARD) --frames 64 --stalls 0.3

test: $(VENV)/installed-test
	$(RUN) -m ruff check .
	$(RUN) -m pytest -n $(JOBS) --dist loadfile -W error

soak: $(VENV)/installed-test
	SKIPSTONE_EXAMPLES=10 $(RUN) -m pytest -n $(JOBS) --dist loadfile -W error

figures: $(VENV)/installed
	$(RUN) -m sim.stage
	$(RUN) -m sim.stage --family dsp48e2
	$(RUN) -m sim.stage --synthesise
	$(RUN) -m sim.emission
	$(RUN) -m cores.build --board zcu102 --out build/zcu102
	$(RUN) -m sim.run build/zcu102 --frames 64
	$(RUN) -m cores.build --board zcu102 --engine dense --out build/zcu102-dense
	$(RUN) -m sim.run build/zcu102-dense --frames 64

clean:
	rm -rf build sim_build *.egg-info .pytest_cache .ruff_cache .hypothesis
	rm -rf $(VENV)

# Stamps, so that pip runs once, and again only when the dependencies change.
$(VENV)/pyvenv.cfg:
	$(PYTHON) -m venv $(VENV)

$(VENV)/installed: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --editable .
	touch $@

$(VENV)/installed-test: pyproject.toml | $(VENV)/pyvenv.cfg
	$(PIP) install --quiet --editable '.[test]'
	touch $@ $(VENV)/installed
