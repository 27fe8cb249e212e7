// SPDX-License-Identifier: Apache-2.0
#pragma once
// A library that has nothing but a dynamic section with the names of others.

#include <string>
#include <vector>

#include <elf.h>

#include "core/base/bytes.h"

inline coldstart::Bytes tiny_elf(const std::vector<std::string>& needed, size_t size = 4096) {
  using namespace coldstart;
  constexpr uint64_t address = 0x10000;  // of the first byte
  constexpr uint64_t names_at = 1024, dynamic_at = 2048;
  Bytes file(size);
  Elf64_Ehdr header{};
  std::memcpy(header.e_ident, ELFMAG, SELFMAG);
  header.e_ident[EI_CLASS] = ELFCLASS64;
  header.e_ident[EI_DATA] = ELFDATA2LSB;
  header.e_phoff = sizeof header;
  header.e_phentsize = sizeof(Elf64_Phdr);
  header.e_phnum = 2;
  std::string names(1, '\0');
  std::vector<Elf64_Dyn> dynamic;
  for (const std::string& name : needed) {
    dynamic.push_back({DT_NEEDED, {names.size()}});
    names += name + '\0';
  }
  dynamic.push_back({DT_STRTAB, {address + names_at}});
  dynamic.push_back({DT_NULL, {0}});
  Elf64_Phdr segments[2] = {};
  segments[0].p_type = PT_LOAD;
  segments[0].p_vaddr = address;
  segments[0].p_filesz = size;
  segments[1].p_type = PT_DYNAMIC;
  segments[1].p_offset = dynamic_at;
  segments[1].p_filesz = dynamic.size() * sizeof(Elf64_Dyn);
  std::memcpy(file.data(), &header, sizeof header);
  std::memcpy(file.data() + sizeof header, segments, sizeof segments);
  std::memcpy(file.data() + names_at, names.data(), names.size());
  std::memcpy(file.data() + dynamic_at, dynamic.data(), dynamic.size() * sizeof(Elf64_Dyn));
  return file;
}
