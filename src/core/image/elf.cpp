// SPDX-License-Identifier: Apache-2.0
#include "core/image/elf.h"

#include <algorithm>

#include <elf.h>

namespace coldstart {

namespace {

constexpr uint64_t most_segments = 64;
constexpr uint64_t most_entries = 4096;  // of a dynamic section
constexpr size_t most_libraries = 512;
constexpr size_t longest_name = 256;

template <class T>
std::vector<T> records(const ReadAt& read, uint64_t offset, uint64_t count) {
  const Bytes bytes = read(offset, count * sizeof(T));
  std::vector<T> all(std::min<size_t>(bytes.size() / sizeof(T), count));
  if (!all.empty()) std::memcpy(all.data(), bytes.data(), all.size() * sizeof(T));
  return all;
}

bool is_readable(const Elf64_Ehdr& header) {
  return header.e_ident[EI_CLASS] == ELFCLASS64 && header.e_ident[EI_DATA] == ELFDATA2LSB &&
         header.e_phentsize == sizeof(Elf64_Phdr);
}

/// Where in the file the bytes are that will be at `address`; the largest number if nowhere.
uint64_t offset_of(const std::vector<Elf64_Phdr>& segments, uint64_t address) {
  for (const Elf64_Phdr& s : segments)
    if (s.p_type == PT_LOAD && address >= s.p_vaddr && address - s.p_vaddr < s.p_filesz)
      return s.p_offset + (address - s.p_vaddr);
  return UINT64_MAX;
}

std::string name_at(const ReadAt& read, uint64_t offset) {
  const Bytes bytes = read(offset, longest_name);
  const std::string_view text = as_text(bytes);
  const size_t end = text.find('\0');
  return end == std::string_view::npos ? "" : std::string(text.substr(0, end));
}

}  // namespace

bool is_elf(ByteSpan start) {
  return start.size() >= SELFMAG && std::memcmp(start.data(), ELFMAG, SELFMAG) == 0;
}

std::vector<std::string> needed_libraries(const ReadAt& read) {
  const auto header = records<Elf64_Ehdr>(read, 0, 1);
  if (header.empty() || !is_elf(std::as_bytes(std::span(header))) || !is_readable(header[0])) return {};
  const auto segments =
      records<Elf64_Phdr>(read, header[0].e_phoff, std::min<uint64_t>(header[0].e_phnum, most_segments));
  const auto dynamic = std::find_if(segments.begin(), segments.end(),
                                    [](const Elf64_Phdr& s) { return s.p_type == PT_DYNAMIC; });
  if (dynamic == segments.end()) return {};
  const auto entries = records<Elf64_Dyn>(read, dynamic->p_offset,
                                          std::min(dynamic->p_filesz / sizeof(Elf64_Dyn), most_entries));
  uint64_t names = UINT64_MAX;
  for (const Elf64_Dyn& entry : entries)
    if (entry.d_tag == DT_STRTAB) names = offset_of(segments, entry.d_un.d_ptr);
  std::vector<std::string> libraries;
  for (const Elf64_Dyn& entry : entries) {
    if (entry.d_tag == DT_NULL || names == UINT64_MAX || libraries.size() == most_libraries) break;
    if (entry.d_tag != DT_NEEDED) continue;
    std::string name = name_at(read, names + entry.d_un.d_val);
    if (!name.empty()) libraries.push_back(std::move(name));
  }
  return libraries;
}

}  // namespace coldstart
