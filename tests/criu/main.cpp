// SPDX-License-Identifier: Apache-2.0
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include "core/sandbox/sandbox.h"

int main(int argc, char** argv) {
  coldstart::own_mount_namespace();
  return doctest::Context(argc, argv).run();
}
