// SPDX-License-Identifier: Apache-2.0
#pragma once
// As much of ELF as tells which libraries a program or library wants: the DT_NEEDED entries of its dynamic
// section (System V ABI, chapter 5). 64-bit and little-endian only; others want nothing.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/base/bytes.h"

namespace coldstart {

/// At most that many bytes from that offset on: fewer, or none, where the file ends. What it throws passes.
using ReadAt = std::function<Bytes(uint64_t offset, size_t bytes)>;

/// A file that starts so is ELF.
bool is_elf(ByteSpan start);

/// The names, in the file's order ("libc.so.6"); none for a file that is no ELF or is damaged. The file is
/// not trusted: bounded in what is read and returned.
std::vector<std::string> needed_libraries(const ReadAt& read);

}  // namespace coldstart
