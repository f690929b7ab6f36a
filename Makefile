# Everything runs in .venv, made from the pinned lock file. Plain commands for each target are in README.md.
PYTHON ?= python3
CORES ?= all
VENV := .venv
RUN := PATH="$(CURDIR)/$(VENV)/bin:$$PATH"

define next_steps
	@echo
	@echo 'Report: $(1)/report/index.html (open it in a browser). Three things to try next, after `source $(VENV)/bin/activate`:'
	@echo '  matlas$(2) claims'
	@echo '  matlas$(2) query "SELECT chemical_family, count(*) AS rows, median(zt) AS zt FROM datasets.estm GROUP BY ALL ORDER BY zt DESC"'
	@echo '  matlas$(2) features get estm --views magpie --columns composition,zt -o magpie.csv --format csv'
endef

.PHONY: api cubes demo reproduce slurm test bench soak lint format lock docs clean

demo: $(VENV)/installed
	$(RUN) snakemake --cores $(CORES) --configfile config/demo.yaml
	$(call next_steps,results/demo, --results results/demo)

reproduce: cubes
	$(RUN) snakemake --cores $(CORES)
	$(call next_steps,results,)

test: $(VENV)/installed
	$(RUN) pytest -n 2

soak: $(VENV)/installed
	$(RUN) MATLAS_SOAK=20 pytest tests/workflow/test_kill.py

bench: $(VENV)/installed requirements-bench.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --requirement requirements-bench.lock
	$(RUN) python -m bench

lint: $(VENV)/installed
	$(RUN) ruff check .
	$(RUN) ruff format --check .
	$(RUN) snakefmt --check Snakefile rules
	$(RUN) python -m schemas.generate --check
	$(RUN) python -m tests.lint_snakefiles

format: $(VENV)/installed
	$(RUN) ruff check --fix . && $(RUN) ruff format . && $(RUN) snakefmt Snakefile rules

docs: $(VENV)/installed
	$(RUN) python -m schemas.generate

# torch's CUDA packages are left out of the lock file: pip adds those that the machine's own build of torch asks for
lock: $(VENV)/installed
	$(RUN) uv pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet requirements.in \
	  | grep -vE '^(nvidia-|cuda-|triton)' > requirements.lock.new
	mv requirements.lock.new requirements.lock
	$(RUN) uv pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet -c requirements.lock \
	  requirements-api.in | grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-api.lock
	$(RUN) uv pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet -c requirements.lock \
	  requirements-slurm.in | grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-slurm.lock
	$(RUN) uv pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet -c requirements.lock \
	  requirements-cubes.in | grep -vE '^(nvidia-|cuda-|triton)' | grep -vxFf requirements.lock > requirements-cubes.lock
	$(RUN) uv pip compile --universal --python-version 3.11 --no-header --no-annotate --quiet -c requirements.lock \
	  -c requirements-cubes.lock requirements-bench.in | grep -vE '^(nvidia-|cuda-|triton)' \
	  | grep -vxFf requirements.lock > requirements-bench.lock

$(VENV)/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info[:2] <= (3, 13) else f"matlas needs Python 3.11 to 3.13, this is {sys.version.split()[0]}: make PYTHON=python3.12 …")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# what asking the Materials Project needs: mp-api and what it brings, 160 MB
api: $(VENV)/installed requirements-api.lock
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock --requirement requirements-api.lock

# what reading spectrum images of microscopes needs: HyperSpy's input and output layer
cubes: $(VENV)/installed requirements-cubes.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --requirement requirements-cubes.lock

# what profiles/slurm needs: SLURM's executor plugin
slurm: $(VENV)/installed requirements-slurm.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --requirement requirements-slurm.lock

clean:
	rm -rf results/demo logs
