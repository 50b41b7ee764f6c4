# Thin on purpose: each target is one call of a tool in tools/. Plain `make` prints the help.
# Everything a target says of its own goes to stderr, so that `make -s guest CMD='…'` gives only the guest's output.

SHELL := bash
.DEFAULT_GOAL := help

CARGO_RUN := cargo run --quiet --package
COOK := $(CARGO_RUN) valence-cook -- make
IMAGE := $(CARGO_RUN) valence-image --
QEMU := $(CARGO_RUN) valence-qemu --
GUEST := $(CARGO_RUN) valence-guest --

FILESYSTEM_CONFIG ?= filesystem.toml
IMAGE_DIR ?= build/image
CMD =
SUITE =

# Redox's names; tools/qemu reads them from the environment.
export gpu net disk kvm serial uefi gdb QEMU_MEM QEMU_SMP QEMU_CPU QEMUFLAGS

.PHONY: help
help: ## this list
	@echo "usage: make TARGET [VARIABLE=VALUE …]"
	@sed -n 's/^\([a-z][a-z-]*\):.*## \(.*\)/\1\t\2/p' Makefile | awk -F'\t' '{ printf "  %-10s %s\n", $$1, $$2 }'
	@echo "variables of qemu: gpu=no|vga net=no disk=virtio kvm=no serial=no uefi=no gdb=yes QEMU_MEM QEMU_SMP QEMU_CPU QEMUFLAGS"

.PHONY: setup
setup: ## install what is missing on this machine (Debian packages, Rust targets)
	@tools/setup.sh

.PHONY: sysroot
sysroot: setup ## build the C library that programs of the target link
	@tools/sysroot.sh

.PHONY: build
build: sysroot ## cook every package of the image
	@$(COOK) $$($(IMAGE) packages $(FILESYSTEM_CONFIG))

.PHONY: image
image: build ## make the disk image
	@$(IMAGE) make $(FILESYSTEM_CONFIG) $(IMAGE_DIR)

.PHONY: qemu
qemu: image ## boot the image (gpu=no: serial console only)
	@$(QEMU) $(IMAGE_DIR)

.PHONY: guest
guest: guest-run ## boot headless, run CMD='…' in the guest's shell, exit with its status
	@$(exit-with $(file <build/guest-status))
	@exit "$$(cat build/guest-status)"

.PHONY: guest-run
guest-run: image
	@$(GUEST) $(IMAGE_DIR) -- "$${GUEST_CMD:?set CMD=, a command line}"; echo $$? >build/guest-status
# $(value …): the command line belongs to the guest's shell, make must not expand its dollar signs.
guest-run: export GUEST_CMD := $(value CMD)
unexport CMD

# A recipe's status is lost in make's own; this gives it $(exit-with N), for the target guest only.
ifneq ($(filter guest,$(MAKECMDGOALS)),)
-load build/make-exit.so(make_exit_gmk_setup)
build/make-exit.so: tools/make-exit.c | setup
	@mkdir -p build
	@cc -shared -fPIC -o $@ $<
endif

.PHONY: test
test: test-host test-guest ## all tests: the host's, then the guest's

.PHONY: test-host
test-host: setup ## unit and integration tests that need no virtual machine
	@cargo test --quiet

.PHONY: test-guest
test-guest: setup ## boot the test image and run its test programs
	@$(MAKE) -s image FILESYSTEM_CONFIG=tests/guest/filesystem.toml IMAGE_DIR=build/image-test
	@$(GUEST) build/image-test --timeout 300 --suite $(SUITE) --scripts tests/guest/boots

.PHONY: fmt
fmt: ## format the Rust code
	@cargo fmt --all

.PHONY: lint
lint: ## check the format and run clippy
	@cargo fmt --all -- --check
	@cargo clippy --quiet --all-targets -- -D warnings

.PHONY: ci
ci: ## what the CI runs
	@bash .ci/run

.PHONY: clean
clean: ## remove everything that was built
	@rm -rf build target
