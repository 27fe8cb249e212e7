// SPDX-License-Identifier: Apache-2.0
#include "core/pipeline/criu_here.h"

#include "core/base/files.h"

namespace coldstart {

CriuHere CriuHere::find(const std::filesystem::path& store_root) {
  CriuProgram program = CriuProgram::find();
  make_folders(store_root / "cache");
  Bytes facts = criu_kernel_facts(program, store_root / "cache");
  return {std::move(program), std::move(facts)};
}

}  // namespace coldstart
