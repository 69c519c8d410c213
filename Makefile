# SPDX-License-Identifier: GPL-3.0-or-later
# The front door: what a person types, and all that CI calls.
SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.ONESHELL:

VENV := .venv
BIN := $(CURDIR)/$(VENV)/bin
export PATH := $(BIN):$(PATH)
# What Ansible runs must see the project's settings wherever make was called from, and colour only on a terminal.
export ANSIBLE_CONFIG := $(CURDIR)/ansible.cfg

.PHONY: help
help: ## Show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# ---- set-up ---------------------------------------------------------------------------------------------------------

$(VENV)/locked: requirements.lock tools/uv.lock
	@echo "Installing the locked Python packages into $(VENV)"
	# A half-made environment, or one whose Python is gone, is made anew; a sound one is brought up to the lock in place.
	$(VENV)/bin/python -c 'import pip' 2>/dev/null || { rm -rf $(VENV); python3 -m venv $(VENV); }
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement tools/uv.lock
	$(VENV)/bin/uv pip sync --quiet --python $(VENV)/bin/python --require-hashes requirements.lock
	touch $@

.PHONY: setup
setup: ## Install what is missing: Debian packages (as root), a virtual environment
	@tools/bootstrap site
	$(MAKE) --no-print-directory $(VENV)/locked

# ---- the lab and the environment in it ------------------------------------------------------------------------------

.PHONY: site
site: lab-up ## Start the lab and bring the whole environment to its wanted state
	@ansible-playbook site.yml
	printf '%s\n' '' \
	  'Airflow:   https://airflow.freehold.localhost' \
	  'User:      admin' \
	  'Password:  make password'

.PHONY: lab-up
lab-up: setup ## Start the lab: an AWS look-alike on this machine
	@python -m lab up

.PHONY: lab-down
lab-down: $(VENV)/locked ## Remove the lab and everything in it
	@python -m lab down

.PHONY: lab-status
lab-status: $(VENV)/locked ## Show what the lab runs
	@python -m lab status

.PHONY: password
password: $(VENV)/locked ## Print the password of the Airflow administrator
	@ansible-playbook playbooks/password.yml | sed -n "s/^ *msg: *//p" | tr -d "\"'"

.PHONY: dag-check
dag-check: ## Import the DAGs, here or of DAGS_REPOSITORY=<clone>, in the image, with no environment at all
	@DAGS_REPOSITORY=$${DAGS_REPOSITORY:-$(CURDIR)} .ci/dag-check

.PHONY: dag-sync
dag-sync: $(VENV)/locked ## Publish the committed DAGs, here or of DAGS_REPOSITORY=<clone>, and prove that every container holds them
	@ansible-playbook playbooks/dag-sync.yml $(if $(DAGS_REPOSITORY),-e "dags_repository='$(DAGS_REPOSITORY)'") \
	  $(if $(DAGS_FOLDER),-e "dags_folder='$(DAGS_FOLDER)'")

.PHONY: dag-verify
dag-verify: $(VENV)/locked ## Prove, changing nothing, that every container holds the current release
	@ansible-playbook playbooks/dag-verify.yml

.PHONY: dag-rollback
dag-rollback: $(VENV)/locked ## Go back to the release before
	@ansible-playbook playbooks/dag-rollback.yml

.PHONY: plan
plan: $(VENV)/locked ## Say what it costs: with reservations, without, and on MWAA; reads only
	@ansible-playbook playbooks/plan.yml

.PHONY: reserve
reserve: $(VENV)/locked ## Show what closes the gap in reservations; with TOTAL=<its total> buy it
	@ansible-playbook playbooks/reserve.yml $(if $(TOTAL),-e reservations_total=$(TOTAL)) $(if $(OWNED),-e reservations_owned=$(OWNED))

.PHONY: destroy
destroy: $(VENV)/locked ## Remove the environment; keeps its data unless told otherwise
	@ansible-playbook playbooks/destroy.yml

# ---- checks ---------------------------------------------------------------------------------------------------------

.PHONY: lint
lint: $(VENV)/locked ## Ansible, YAML, Python and workflow linters and the project's own checks
	@yamllint --strict .
	actionlint
	zizmor --offline --no-progress --quiet .github/workflows
	ruff check .
	ruff format --check .
	mypy
	# Not the user's own folder, where an installed copy of this collection would be looked at instead.
	ANSIBLE_HOME=$(CURDIR)/.ansible ansible-lint --offline --strict
	python tools/check_argument_specs.py
	python tools/check_role_variables.py

.PHONY: sanity
sanity: $(VENV)/locked ## What Ansible itself demands of a collection: ansible-test sanity
	@tools/sanity

.PHONY: collection
collection: $(VENV)/locked ## Build the collection's archive, install it into an empty directory and use it from there
	@tools/collection
	pytest -q tests/collection

.PHONY: docs
docs: $(VENV)/locked ## Write docs/reference from what modules, roles and filters say of themselves
	@tools/docs

.PHONY: docs-check
docs-check: $(VENV)/locked ## See that docs/reference is current and that nothing in it leads nowhere
	@tools/docs --check

.PHONY: unit
unit: $(VENV)/locked ## Unit tests: no lab, no network
	@tools/bootstrap unit
	pytest -q --numprocesses=auto --maxprocesses=4 tests/unit
	# In processes of their own: the lab changes moto where it is imported, and the modules' tests want it as it comes.
	pytest -q --numprocesses=auto --maxprocesses=4 lab/tests
	pytest -q bundle/tests

.PHONY: bundle
bundle: lab-up ## What is in the image: the DAG bundle's tests run there, and how a user's requirements get there
	@tools/in_image
	pytest -q tests/image

.PHONY: coverage
coverage: lab-up ## How much of plugins and of the bundle the tests run; fails below 95 % of the branches of either
	@tools/bootstrap unit
	rm -rf build/coverage
	coverage run -m pytest -q tests/unit
	coverage run -m pytest -q lab/tests/tunnel bundle/tests
	tools/in_image
	coverage combine --quiet build/coverage
	coverage report
	coverage json --quiet -o build/coverage/report.json
	python tools/covered_branches.py build/coverage/report.json

.PHONY: integration
integration: lab-up ## Roles and modules against the lab's API alone
	@# The lab brings the Docker engine that the role image asks for where it would build.
	pytest -q tests/integration

.PHONY: molecule
molecule: setup ## Roles, each on a host of its own in the lab
	@for scenario in $(MOLECULE); do molecule test --scenario-name $$scenario; done

# In the order roles stand on each other, so that the first failure is the one to look at; last of all vm, whose
# processors may be emulated.
MOLECULE := docker time valkey efs authorized_keys trust webserver scheduler worker component alternative uninstall \
	provisioning teardown readmes vm

.PHONY: acceptance
acceptance: setup ## Bring an environment up in the lab and look at it as its users do
	@tools/bootstrap test
	pytest -q --durations=15 $(addprefix tests/acceptance/,$(ACCEPTANCE))

.PHONY: acceptance-all
acceptance-all: setup ## The same, and what make test has no time for: faults, refusals, reboots, destroying
	@tools/bootstrap test
	pytest -q tests/acceptance

# What make test looks at in the running lab; make test-all looks at the rest of tests/acceptance too.
ACCEPTANCE := test_empty_environment.py test_site.py test_second_run.py test_check_mode.py test_entrance.py \
	test_access.py test_plan.py test_browser.py test_workflow.py test_dag_releases.py test_security.py test_bad_input.py \
	test_lab_down.py

.PHONY: test
test: setup ## Lint, sanity, collection, unit, bundle and acceptance tests
	@# All that they install, or two of them would want to at once.
	tools/bootstrap test
	# Two at a time: each of these waits for one core or the network for most of its time. Each prints when it has ended.
	echo 'Running bundle, lint, sanity, docs-check, collection and unit, two at a time'
	$(MAKE) --no-print-directory --jobs=2 --output-sync=target bundle lint sanity docs-check collection unit
	$(MAKE) --no-print-directory acceptance

.PHONY: test-all
test-all: setup ## All of these and the slow ones, and docs/tests.md anew; takes two hours
	@python tools/test_all.py docs/tests.md lint sanity docs-check collection unit integration bundle acceptance-all

.PHONY: mutate
mutate: setup ## Delete lines one at a time and see whether a test notices; writes docs/mutation*.md, takes hours
	@tools/bootstrap test
	status=0
	python tools/mutate.py --every '\.(service|mount)\.|time/tasks/configure|component/vars' docs/mutation-units.md || status=$$?
	python tools/mutate.py docs/mutation.md || status=$$?
	exit $$status

.PHONY: bench
bench: setup ## Measure: fresh machine to green run, second run, seconds per task, memory, DAGs, reservations
	@tools/bootstrap bench
	python tests/bench.py
	python tests/bench_dags.py
	python tests/bench_efs.py
	python tests/bench_reservations.py
