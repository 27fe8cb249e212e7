# SPDX-License-Identifier: Apache-2.0
# The words of everyday work. 'make help' lists them.
PREFIX ?= /usr/local
JOBS ?= $(shell nproc)
T ?=
SCRIPTS = $(shell git grep -lE '^(\#!/bin/bash|\# shellcheck shell=bash)' -- ':!*.md')
SOURCES = $(shell git ls-files '*.cpp' '*.h')
.DEFAULT_GOAL := help
.PHONY: help setup packages build program install test demo bench gpu-bundle format lint asan tsan fuzz clean

help: ## this list
	@awk -F ':.*## ' '/^[a-z -]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## get all that building, testing and the demo need (as root; nothing where it is there)
	@scripts/setup

packages:
	@scripts/setup packages

build: ## build build/release/coldstart
	@test -f build/release/build.ninja || cmake --preset release
	@cmake --build --preset release -j $(JOBS)

program:
	@test -f build/release/build.ninja || cmake --preset release
	@cmake --build --preset release -j $(JOBS) --target coldstart

install: build ## install below PREFIX (default /usr/local), within DESTDIR
	@DESTDIR=$(DESTDIR) cmake --install build/release --prefix $(PREFIX)

test: setup ## set up, build, run unit and e2e tests (as root); T=NAME runs one
	@$(MAKE) --no-print-directory build
	@tests/run $(T)

demo: setup ## set up, build, and see a torch server start cold and come back from a snapshot (as root)
	@$(MAKE) --no-print-directory program
	@scripts/demo

bench: setup ## print the figures of tests/bench (as root); T=NAME runs one
	@$(MAKE) --no-print-directory build
	@tests/bench/run $(T)

gpu-bundle: build ## build/gpu-bundle.tgz: what tests/gpu/run.sh needs on a machine with a GPU
	@cmake --build build/release -j $(JOBS) --target gpu-bundle-coldstart gpu-bundle-refill-speed
	@tests/gpu/make_bundle

format: packages ## reformat the C++ sources
	@clang-format -i $(SOURCES)

lint: packages ## clang-format, clang-tidy and shellcheck, all without a word of complaint
	@clang-format --dry-run -Werror $(SOURCES)
	@shellcheck -x $(SCRIPTS)
	@test -f build/lint/build.ninja || cmake --preset lint
	@cmake --build --preset lint
	@run-clang-tidy -quiet -p build/lint -j $(JOBS) '^$(CURDIR)/src/'

asan tsan: packages ## unit tests under the address or the thread sanitizer
	@test -f build/$@/build.ninja || cmake --preset $@
	@cmake --build --preset $@ -j $(JOBS) --target coldstart-unit
	@build/$@/tests/unit/coldstart-unit

fuzz: packages ## fuzz every parser of outside bytes for FUZZ_SECONDS (60) each
	@test -f build/fuzz/build.ninja || cmake --preset fuzz
	@cmake --build --preset fuzz -j $(JOBS)
	@tests/fuzz/run

clean: ## remove what was built (not what 'setup' got)
	rm -rf build
