# Every verb a person types. `make` alone lists them; variables can be given behind any verb, as in
# `make local-train EPOCHS=2 INPUT_MODE=File`.
SHELL := /bin/sh
.DEFAULT_GOAL := help
MAKEFLAGS += --no-builtin-rules --no-print-directory

PYTHON3 ?= python3
FRAMEWORK ?= pytorch
DATASET ?= cifar10
INPUT_MODE ?= Pipe
FORMAT ?=
RUNTIME ?= auto
DATA ?=
EPOCHS ?=
HOSTS ?= 1
INTERRUPTIONS ?= 6
SEED ?= 0
HP ?=
PYTHON ?=
PORT ?= 4640
EXPERIMENTS_PORT ?= 4641
CHECK ?=
JOB ?=
SWEEP ?=
BUCKET ?=
ROLE ?=
UPLOAD ?=
CODE ?=
DRY_RUN ?=
WAIT ?=
MAX_USD ?= 5
YES ?=
DIST ?= dist
DEVICE ?= cpu
PIP_CONF ?=
CA_BUNDLE ?=
REPORTS ?=
AUDIT_URL ?=
IMAGE_URI ?=
REGISTRY ?=
FAIL_ON ?= HIGH
KMS_KEY ?=
ALLOW_DIRTY ?=
# Where jobs go as runs of MLflow: 1 for the store beside them, or a URI; the variable that MLflow itself reads counts too.
TRACK ?=

# Values reach the scripts through the environment, so that no shell reads what a person typed.
export FRAMEWORK DATASET INPUT_MODE FORMAT RUNTIME DATA EPOCHS HOSTS HP PYTHON PORT DIST DEVICE REGISTRY FAIL_ON KMS_KEY
export INTERRUPTIONS SEED TRACK EXPERIMENTS_PORT JOB SWEEP BUCKET ROLE UPLOAD CODE MAX_USD PIP_CONF CA_BUNDLE REPORTS AUDIT_URL IMAGE_URI

IMAGES := $(shell sed -n 's/^  "\([a-z0-9]*\)": {$$/\1/p' images.json)
NOTEBOOKS := cv_pytorch_pipe cv_keras_pipe cub200_dali
VENV := .venv/bin
TRACKED := $(if $(filter 1,$(TRACK)),--track,$(if $(TRACK),--track "$$TRACK",$(if $(MLFLOW_TRACKING_URI),--track)))
STAND_INS := .local_mode/stand-ins.json
ENVIRONMENT := $(PYTHON3) scripts/make_environment.py
TORCH_TESTS := tests/unit/pytorch_job
KERAS_TESTS := tests/unit/keras_job
# Most tests wait for processes; those of a file share what it takes long to start.
SIDE_BY_SIDE := -n 4 --dist loadfile
# Jobs and frameworks leave half of two cores idle, but more of them at once would overtake one another's deadlines.
TWO_AT_ONCE := -n 2 --dist loadfile
# Reports are a CI's wish; a person reads what is on the screen.
junit = $(if $(REPORTS),--junitxml "$$REPORTS/junit/tests-$(1).xml")
IN_REPORTS := --reports "$${REPORTS:-reports}"
# Short waits, as trainjob.launch sets them for a job: threads that spin starve each other on a busy machine.
WITH_TORCH = framework=$$($(ENVIRONMENT) pytorch --python "$$PYTHON") && GOMP_SPINCOUNT=3000 \
	PYTHONPATH=.local_mode/envs/pytest:containers/common:containers/pytorch:. "$$framework"
WITH_KERAS = framework=$$($(ENVIRONMENT) keras --python "$$PYTHON") && TF_CPP_MIN_LOG_LEVEL=1 \
	PYTHONPATH=.local_mode/envs/pytest:containers/common:containers/keras:. "$$framework"

##@ Train
.PHONY: local-train
local-train: $(if $(TRACKED),serving,host) ## run a training job on this machine; FRAMEWORK DATASET INPUT_MODE FORMAT RUNTIME DATA EPOCHS HOSTS HP PYTHON TRACK
	@exec $(VENV)/python scripts/local_train.py --framework "$$FRAMEWORK" --dataset "$$DATASET" \
		--input-mode "$$INPUT_MODE" --format "$$FORMAT" --runtime "$$RUNTIME" --data "$$DATA" --epochs "$$EPOCHS" \
		--hosts "$$HOSTS" --hyperparameters "$$HP" --python "$$PYTHON" $(TRACKED)

.PHONY: spot-drill
spot-drill: tuning ## interrupt a small job at random moments, go on with it, compare with one left alone; FRAMEWORK INTERRUPTIONS SEED PYTHON
	@exec $(VENV)/python scripts/spot_drill.py --framework "$$FRAMEWORK" --interruptions "$$INTERRUPTIONS" \
		--seed "$$SEED" --python "$$PYTHON"

.PHONY: experiments
experiments: serving ## the jobs of this machine as runs, in MLflow's page; EXPERIMENTS_PORT
	@exec $(VENV)/python scripts/experiments.py --port "$$EXPERIMENTS_PORT"

.PHONY: local-tune
local-tune: tuning ## run a sweep for hyperparameters on this machine: 6 trials, 2 at a time; FRAMEWORK DATASET SWEEP RUNTIME DATA HP PYTHON
	@exec $(VENV)/python scripts/local_tune.py --framework "$$FRAMEWORK" --dataset "$$DATASET" --runtime "$$RUNTIME" \
		--data "$$DATA" --hyperparameters "$$HP" --python "$$PYTHON" $(if $(SWEEP),--sweep "$$SWEEP")

.PHONY: local-up
local-up: serving ## start AWS's API on this machine, jobs included; PORT RUNTIME TRACK
	@$(VENV)/python -m local_mode serve --background --port "$$PORT" --runtime "$$RUNTIME" $(TRACKED) \
		$(if $(wildcard $(STAND_INS)),--stand-ins $(STAND_INS))
	@echo "in a browser, within the hour: $$($(VENV)/python -m local_mode page)"
	@echo 'in a shell: eval "$$($(VENV)/python -m local_mode env)"'

.PHONY: local-down
local-down: host ## stop it and its jobs
	@$(VENV)/python -m local_mode down

.PHONY: data
data: host ## download the data set into data/ (cifar10: 170 MB, cub200: 1.2 GB); DATASET FORMAT
	@$(VENV)/python scripts/prepare_data.py "$$DATASET" $(if $(FORMAT),--format "$$FORMAT")

.PHONY: notebooks
notebooks: $(NOTEBOOKS:%=notebook/%) ## run the notebooks on this machine, and show what came of them in docs/notebooks
notebook/%: serving ## run one from top to bottom, as in notebook/cv_pytorch_pipe; RUNTIME
	@exec $$($(ENVIRONMENT) notebooks) scripts/run_notebook.py "$*"

example/%: host ## run a script of one's own, as in example/byo_script; INPUT_MODE RUNTIME PYTHON
	@exec $(VENV)/python examples/run.py "$*" --input-mode "$$INPUT_MODE" --runtime "$$RUNTIME" --python "$$PYTHON"

##@ Submit
# What both verbs hand on.
WHOSE = "$$JOB" --bucket "$$BUCKET" --set "$$HP" --role "$$ROLE"

.PHONY: submit
submit: serving ## send JOB=examples/jobs/....yaml to SageMaker or a local endpoint; BUCKET HP ROLE UPLOAD WAIT DRY_RUN CODE MAX_USD YES
	@exec $(VENV)/python scripts/submit_training.py $(WHOSE) --max-usd "$$MAX_USD" $(if $(UPLOAD),--upload "$$UPLOAD") \
		$(if $(WAIT),--wait) $(if $(DRY_RUN),--dry-run) $(if $(CODE),--as "$$CODE") $(if $(YES),--yes)

.PHONY: estimate
estimate: serving ## what JOB takes in time and money, from a short run of it on this machine; BUCKET HP
	@exec $(VENV)/python scripts/submit_training.py $(WHOSE) --estimate

.PHONY: tune
tune: tuning ## send SWEEP=examples/tuning/....yaml to SageMaker or a local endpoint, and follow it; BUCKET HP ROLE UPLOAD DRY_RUN MAX_USD YES
	@exec $(VENV)/python scripts/tune.py "$$SWEEP" --bucket "$$BUCKET" --set "$$HP" --role "$$ROLE" --max-usd "$$MAX_USD" \
		$(if $(UPLOAD),--upload "$$UPLOAD") $(if $(DRY_RUN),--dry-run) $(if $(YES),--yes)

##@ Images
BUILD_IMAGE := $(VENV)/python scripts/build_image.py --pip-conf "$$PIP_CONF" --ca-bundle "$$CA_BUNDLE"
.PHONY: build
build: host ## build every image of images.json, side by side; PIP_CONF CA_BUNDLE
	@$(BUILD_IMAGE)

build/%: host ## build one image, as in build/pytorch or build/keras
	@$(BUILD_IMAGE) "$*"

.PHONY: smoke
smoke: $(IMAGES:%=smoke/%) ## every image looked over
smoke/%: host ## a built image under a hand-made /opt/ml: framework, DALI, Pipe, checkpoint, SIGTERM, artifacts
	@$(VENV)/python scripts/smoke.py "$*"

.PHONY: report
report: $(IMAGES:%=report/%) ## sizes of every image
report/%: host ## size by layer, compressed too, against its budget and the last release; REPORTS
	@$(VENV)/python scripts/report_image.py "$*" $(IN_REPORTS)

.PHONY: sbom
sbom: $(IMAGES:%=sbom/%) ## bills of materials of every image
sbom/%: testing ## bill of materials (CycloneDX) and licences of a built image; REPORTS
	@$(VENV)/python scripts/list_contents.py "$*" $(IN_REPORTS)

soci/%: host ## an index by which a registry's image is pulled lazily; IMAGE_URI; needs containerd's soci
	@$(VENV)/python scripts/index_image.py "$*" --image "$$IMAGE_URI"

.PHONY: bump-base
bump-base: serving ## pin the images' base by the digest that its registry has now
	@$(VENV)/python scripts/bump_base.py

.PHONY: push
push: $(IMAGES:%=push/%) ## push every image to ECR, made ready where need be, or to REGISTRY=HOST:PORT; FAIL_ON KMS_KEY ALLOW_DIRTY

# `make -j build push` builds first, too.
push/%: serving | $(filter build build/%,$(MAKECMDGOALS)) ## push one image, as in push/pytorch; prints its URI
	@$(VENV)/python scripts/push_image.py "$*" --registry "$$REGISTRY" --fail-on "$$FAIL_ON" --kms-key "$$KMS_KEY" \
		--output "$$DIST/pushed" $(if $(ALLOW_DIRTY),--allow-dirty)

image-uri/%: serving ## what to paste into an Estimator: the URI of the image that was pushed last, as in image-uri/pytorch
	@$(VENV)/python scripts/push_image.py "$*" --last --output "$$DIST/pushed"

.PHONY: clean-aws
clean-aws: serving ## list, then delete, what submit and push made in the account or endpoint, found by its tag; asks; YES
	@exec $(VENV)/python scripts/clean_aws.py $(if $(YES),--yes)

##@ Check
.PHONY: check
check: lint test ## all that has to pass before a change is handed on

.PHONY: test
test: testing pytest ## unit and contract tests
	@$(VENV)/pytest $(SIDE_BY_SIDE) -m "not drill" --ignore=$(TORCH_TESTS) --ignore=$(KERAS_TESTS) $(call junit,unit) \
		tests/unit tests/contract
	@$(WITH_TORCH) -m pytest $(TWO_AT_ONCE) -m "not drill" $(call junit,pytorch) $(TORCH_TESTS)
	@$(WITH_KERAS) -m pytest $(TWO_AT_ONCE) -m "not drill" $(call junit,keras) $(KERAS_TESTS)

.PHONY: test/image
test/image: testing pytest ## tests inside the images, which must be built; REQUIRE_CONTAINERS=1 makes a missing one a failure
	@$(VENV)/pytest -m "not soak" $(call junit,image) tests/image

.PHONY: test/gpu
test/gpu: testing pytest ## tests that need a GPU, inside the image of FRAMEWORK, or by PYTHON, which must have DALI; REAL_DATA=DIR
	@set -e; tests="-m pytest -p no:cacheprovider tests/gpu"; \
	if [ -n "$$PYTHON" ]; then \
		exec env REQUIRE_GPU=1 PYTHONPATH=.local_mode/envs/pytest:containers/common:. "$$PYTHON" $$tests; \
	fi; \
	image=$$($(VENV)/python -c 'import sys; from scripts.images.entry import image_name; print(image_name(sys.argv[1]))' \
		"$$FRAMEWORK"); \
	real=$$(realpath -m "$${REAL_DATA:-../shared/data}"); \
	set --; [ ! -d "$$real" ] || set -- --mount "type=bind,source=$$real,target=/real,readonly"; \
	exec docker run --rm --gpus all --network none --workdir /project "$$@" \
		--mount "type=bind,source=$$PWD,target=/project,readonly" \
		--env REAL_DATA=/real --env REQUIRE_GPU=1 --env PYTHONDONTWRITEBYTECODE=1 \
		--env PYTHONPATH=.local_mode/envs/pytest "$$image" python $$tests

.PHONY: test/e2e
test/e2e: testing pytest ## whole jobs, on drawn and on real data (REAL_DATA=DIR), and jobs and services killed at random
	@$(VENV)/pytest $(TWO_AT_ONCE) --durations 20 -m "not soak" tests/e2e
	@$(VENV)/pytest -m drill tests/contract
	@$(WITH_TORCH) -m pytest -m drill $(TORCH_TESTS)
	@$(WITH_KERAS) -m pytest -m drill $(KERAS_TESTS)

.PHONY: test/all
test/all: test test/image test/e2e ## all tests

.PHONY: test/reproducible
test/reproducible: testing pytest ## build the image of FRAMEWORK twice from nothing, and compare every file: half an hour
	@$(VENV)/pytest tests/reproducible

.PHONY: conformance
conformance: testing ## the contract suite as a table, row by row, into docs/conformance.md
	@$(VENV)/pytest $(SIDE_BY_SIDE) -q -r fE --conformance docs/conformance.md tests/contract

.PHONY: lint
lint: testing ## style, format and types
	@$(VENV)/ruff check .
	@$(VENV)/ruff format --check .
	@$(VENV)/mypy
	@$(VENV)/hadolint containers/*/Dockerfile examples/*/Dockerfile
	@$(VENV)/cfn-lint infra/*.yml

.PHONY: audit
audit: testing ## known vulnerabilities of what the images' locks pin; REPORTS, AUDIT_URL in place of the public service
	@$(VENV)/python scripts/audit_locks.py --service "$$AUDIT_URL" $(IN_REPORTS)

.PHONY: format
format: testing ## put the code into its format
	@$(VENV)/ruff check --quiet --fix-only .
	@$(VENV)/ruff format .

##@ Measure
.PHONY: bench/pipe_reader
bench/pipe_reader: testing ## Pipe-mode readers: ours, the bare drain, webdataset
	@$(VENV)/python -m benchmarks.pipe_reader

.PHONY: bench/feeder
bench/feeder: testing ## the feeder: files, S3 beside boto3, parallel beside one connection
	@$(VENV)/python -m benchmarks.feeder $(if $(CHECK),--check)

.PHONY: bench/train_cifar10
bench/train_cifar10: testing pytest ## training Net: streamed, from memory, the workshop's loop; REAL_DATA=DIR
	@$(WITH_TORCH) -m benchmarks.train_cifar10

.PHONY: bench/pipe_tfdata
bench/pipe_tfdata: testing pytest ## Pipe-mode streams as tf.data batches: ours, TensorFlow's own ways on a file
	@$(WITH_KERAS) -m benchmarks.pipe_tfdata

.PHONY: bench/train_keras
bench/train_keras: testing pytest ## training the workshop's network: streamed, the workshop's loop; REAL_DATA=DIR
	@$(WITH_KERAS) -m benchmarks.train_keras

.PHONY: bench/decode
bench/decode: testing ## decoding photographs in both images: ours, PIL, torchvision, tf.data, DALI; REAL_DATA=DIR DEVICE=gpu
	@$(VENV)/python -m benchmarks.decode --device "$$DEVICE"

.PHONY: bench/checkpointing
bench/checkpointing: testing pytest ## checkpoints written beside a training, waited for, none; going on, starting afresh; FRAMEWORK
	@$(if $(filter keras,$(FRAMEWORK)),$(WITH_KERAS),$(WITH_TORCH)) -m benchmarks.checkpointing --framework "$$FRAMEWORK" \
		$(if $(CHECK),--check)

.PHONY: bench/build_times
bench/build_times: host ## rebuilding an image, unchanged and changed
	@$(VENV)/python -m benchmarks.build_times "$$FRAMEWORK"

.PHONY: bench/job_overhead
bench/job_overhead: testing ## a job to its first line, over docker run; a whole job, over SDK v2's local mode
	@$(VENV)/python -m benchmarks.job_overhead $(if $(CHECK),--check)

.PHONY: bench/api
bench/api: testing ## Describe and List with 10,000 jobs stored, 50 jobs at once
	@$(VENV)/python -m benchmarks.api $(if $(CHECK),--check)

.PHONY: bench/scaling
bench/scaling: testing ## training on two hosts of one core each, beside one host; FRAMEWORK PYTHON
	@framework=$$($(ENVIRONMENT) "$$FRAMEWORK" --python "$$PYTHON") && \
		$(VENV)/python -m benchmarks.scaling --framework "$$FRAMEWORK" --python "$$framework" $(if $(CHECK),--check)

.PHONY: bench/tuning_search
bench/tuning_search: testing ## searches on a recorded table: trials and epochs that Bayesian and Hyperband need, beside Random
	@$(VENV)/python -m benchmarks.tuning_search $(if $(CHECK),--check)

.PHONY: bench/trial_overhead
bench/trial_overhead: testing ## what a sweep's trial costs beside its training: forked, and started by itself; two at once
	@$(VENV)/python -m benchmarks.trial_overhead $(if $(CHECK),--check)

.PHONY: fuzz
fuzz: testing ## a million damaged streams through the framings
	@$(VENV)/python tests/fuzz/fuzz_framing.py --inputs 1000000

.PHONY: soak
soak: fuzz ## what takes longer than the gate should: fuzz, whole images pushed, notebooks run, every end-to-end job three times
	@$(VENV)/pytest -m soak tests/image tests/e2e
	@for round in 1 2 3; do $(MAKE) test/e2e || exit 1; done

##@ Upkeep
.PHONY: wheel
wheel: host ## local_mode and trainjob as wheels into dist/, for any other project or image
	@rm -rf build containers/common/build  # else the wheels take modules along that are gone
	@$(VENV)/python -m pip wheel --quiet --no-deps --no-build-isolation --wheel-dir "$$DIST" ./containers/common .
	@ls "$$DIST"/trainjob-*.whl "$$DIST"/local_mode-*.whl

.PHONY: lock
lock: host ## write the hashed locks anew from their .in files; LOCK=--upgrade takes newer versions
	@$(VENV)/python -m pip install --quiet uv
	@set -e; \
	compile() { UV_CUSTOM_COMPILE_COMMAND="make lock" UV_SYSTEM_CERTS=1 $(VENV)/uv pip compile --quiet --universal \
		--python-version 3.11 --generate-hashes --no-emit-find-links --no-emit-index-url $(LOCK) "$$@" > /dev/null; }; \
	image=containers/pytorch/requirements; tests=requirements/test; \
	compile $$image.in --output-file $$image.lock; \
	compile $$image-cpu.in --constraints $$image.lock --output-file $$image-cpu.lock; \
	twin=containers/keras/requirements; \
	compile $$twin.in --constraints $$image.lock --output-file $$twin.lock; \
	compile $$twin-cpu.in --constraints $$twin.lock --no-emit-package tensorflow --output-file $$twin-cpu.lock; \
	compile $$tests.in --constraints $$image.lock --output-file $$tests.lock; \
	for name in host serve tune pytest; do \
		compile requirements/$$name.in --constraints $$tests.lock --output-file requirements/$$name.lock; done; \
	compile requirements/experiments.in --constraints $$tests.lock --output-file requirements/experiments.lock; \
	for name in sdk_v2 sdk_v3; do \
		compile requirements/$$name.in --output-file requirements/$$name.lock; done; \
	compile requirements/notebooks.in --constraints requirements/sdk_v2.lock --output-file requirements/notebooks.lock

.PHONY: clean
clean: ## remove environments, caches and prepared data; finished jobs and data/ stay
	@rm -rf .venv .local_mode/envs .local_mode/data .local_mode/requests .local_mode/stand-ins.json
	@rm -rf .mypy_cache .pytest_cache .ruff_cache .hypothesis build dist reports containers/common/build
	@find . -name .git -prune -o \( -name __pycache__ -o -name '*.egg-info' \) -prune -exec rm -rf {} +

.PHONY: help
help: ## this list
	@awk 'BEGIN { FS = ":.*## " } \
		/^##@ / { printf "\n%s\n", substr($$0, 5) } \
		/^[a-z][a-z0-9_%\/-]*:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# What the verbs stand on; found again in a moment once it is there.
.PHONY: host serving tuning testing pytest
host:
	@$(ENVIRONMENT) host > /dev/null
serving:
	@$(ENVIRONMENT) serve > /dev/null
tuning:
	@$(ENVIRONMENT) tune > /dev/null
testing:
	@$(ENVIRONMENT) test > /dev/null
pytest: testing
	@$(ENVIRONMENT) pytest > /dev/null
