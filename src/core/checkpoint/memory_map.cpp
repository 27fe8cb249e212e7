// SPDX-License-Identifier: Apache-2.0
#include "core/checkpoint/memory_map.h"

#include <algorithm>
#include <array>

#include <fmt/format.h>

#include "core/base/error.h"

namespace coldstart {

namespace {

constexpr std::array<char, 8> magic = {'c', 's', 'm', 'e', 'm', 'o', 'r', 'y'};
// The first has only whole chunks, of whole pages; the second is written where there are parts.
constexpr uint32_t whole_chunks = 1, parts_of_chunks = 2;
constexpr uint64_t page = 4096;
constexpr uint64_t address_limit = uint64_t{1} << 57;
constexpr uint32_t chunk_limit = uint32_t{16} << 20;
// The map as a whole: memory of some 4 TiB. It is cut like an image's metadata.
constexpr uint64_t map_limit = uint64_t{1} << 30;
constexpr size_t map_chunk_bytes = size_t{1} << 20;

struct Header {
  std::array<char, 8> magic;
  uint32_t version;
  uint32_t processes;
  uint64_t chunks;
  uint64_t runs;
};
static_assert(sizeof(Header) == 32);

struct ChunkRecord {
  Digest digest;
  uint32_t bytes;
  uint32_t skip;  // 0 in the first version
};
static_assert(sizeof(ChunkRecord) == 40);

struct ProcessRecord {
  uint32_t pid;
  uint32_t reserved;
  uint64_t runs;  // how many
};
static_assert(sizeof(ProcessRecord) == 16);
static_assert(sizeof(MemoryRun) == 16);

/// Takes records off the front of `bytes`, whose length was checked before.
template <class Record>
Record take(ByteSpan& bytes) {
  const auto record = load<Record>(bytes.data());
  bytes = bytes.subspan(sizeof record);
  return record;
}

class Parser {
 public:
  Parser(ByteSpan bytes, const std::string& document) : bytes_(bytes), document_(document) {}

  MemoryMap run() {
    if (bytes_.size() < sizeof(Header)) wrong("is truncated");
    const auto header = take<Header>(bytes_);
    if (header.magic != magic) wrong("is no memory map");
    if (header.version != whole_chunks && header.version != parts_of_chunks)
      throw Error::corrupt(
          fmt::format("{} has version {}, not {}", document_, header.version, parts_of_chunks),
          "use a newer coldstart");
    // Each alone first, so that the sum cannot overflow.
    if (header.chunks > bytes_.size() / sizeof(ChunkRecord) ||
        header.runs > bytes_.size() / sizeof(MemoryRun) ||
        header.chunks * sizeof(ChunkRecord) + header.runs * sizeof(MemoryRun) +
                uint64_t{header.processes} * sizeof(ProcessRecord) !=
            bytes_.size())
      wrong("has not the size that its header says");
    chunks(header.chunks, header.version == parts_of_chunks);
    processes(header.processes, header.runs);
    return std::move(map_);
  }

 private:
  [[noreturn]] void wrong(const std::string& what) const { throw Error::corrupt(document_ + " " + what); }

  void chunks(uint64_t count, bool may_be_parts) {
    map_.chunks.reserve(count);
    uint64_t bytes = 0;
    for (uint64_t i = 0; i < count; ++i) {
      const auto record = take<ChunkRecord>(bytes_);
      const uint32_t skip = may_be_parts ? record.skip : 0;
      if (record.bytes == 0 || (!may_be_parts && record.bytes % page != 0) || record.bytes > chunk_limit ||
          skip > chunk_limit)
        wrong(fmt::format("has a chunk {} of {} bytes", i, record.bytes));
      bytes += record.bytes;
      map_.chunks.push_back({record.digest, record.bytes, skip});
    }
    if (bytes % page != 0) wrong("has chunks that are no whole pages");
    content_pages_ = bytes / page;
  }

  void processes(uint32_t count, uint64_t all_runs) {
    ByteSpan runs = bytes_.subspan(uint64_t{count} * sizeof(ProcessRecord));
    for (uint32_t i = 0; i < count; ++i) {
      const auto record = take<ProcessRecord>(bytes_);
      if (record.runs > all_runs) wrong("has processes with more runs than there are");
      all_runs -= record.runs;
      if (record.pid == 0 || (i > 0 && record.pid <= map_.processes.back().pid))
        wrong("has processes that are out of order");
      map_.processes.push_back({record.pid, {}});
      auto& into = map_.processes.back().runs;
      into.reserve(record.runs);
      uint64_t end = 0;
      for (uint64_t r = 0; r < record.runs; ++r) {
        into.push_back(take<MemoryRun>(runs));
        end = check(into.back(), end);
      }
    }
    if (all_runs != 0) wrong("has runs of no process");
  }

  /// Gives its end.
  uint64_t check(const MemoryRun& run, uint64_t not_before) const {
    const uint64_t end = run.address + uint64_t{run.pages} * page;
    if (run.pages == 0 || run.address % page != 0 || run.address < not_before ||
        run.address > address_limit || end > address_limit)
      wrong(fmt::format("has a run at {:#x} that is out of order or range", run.address));
    if (uint64_t{run.content} + run.pages > content_pages_)
      wrong(fmt::format("has a run at {:#x} that is not in its content", run.address));
    return end;
  }

  ByteSpan bytes_;
  const std::string& document_;
  MemoryMap map_;
  uint64_t content_pages_ = 0;
};

}  // namespace

uint64_t MemoryMap::content_bytes() const {
  uint64_t sum = 0;
  for (const MemoryChunk& chunk : chunks) sum += chunk.bytes;
  return sum;
}

const ProcessMemory* MemoryMap::process(uint32_t pid) const {
  const auto it =
      std::find_if(processes.begin(), processes.end(), [&](const ProcessMemory& p) { return p.pid == pid; });
  return it == processes.end() ? nullptr : &*it;
}

Bytes MemoryMap::pack() const {
  const bool has_parts = std::any_of(chunks.begin(), chunks.end(), [](const MemoryChunk& chunk) {
    return chunk.skip != 0 || chunk.bytes % page != 0;
  });
  Header header{magic, has_parts ? parts_of_chunks : whole_chunks, static_cast<uint32_t>(processes.size()),
                chunks.size(), 0};
  for (const ProcessMemory& p : processes) header.runs += p.runs.size();
  Bytes bytes(sizeof header + chunks.size() * sizeof(ChunkRecord) + processes.size() * sizeof(ProcessRecord) +
              header.runs * sizeof(MemoryRun));
  std::byte* at = bytes.data();
  const auto put = [&](ByteSpan record) {
    std::memcpy(at, record.data(), record.size());
    at += record.size();
  };
  put(bytes_of(header));
  for (const MemoryChunk& chunk : chunks) put(bytes_of(ChunkRecord{chunk.digest, chunk.bytes, chunk.skip}));
  for (const ProcessMemory& p : processes) put(bytes_of(ProcessRecord{p.pid, 0, p.runs.size()}));
  for (const ProcessMemory& p : processes)
    if (!p.runs.empty()) put(std::as_bytes(std::span(p.runs)));
  return bytes;
}

MemoryMap MemoryMap::parse(ByteSpan bytes, const std::string& document) {
  return Parser(bytes, document).run();
}

Digest StoredMap::name() const {
  Hasher hasher;
  for (const Digest& chunk : chunks) hasher.update(std::as_bytes(std::span(chunk.raw)));
  return hasher.finish();
}

Json StoredMap::to_json() const {
  Json digests = Json::array();
  for (const Digest& chunk : chunks) digests.push_back(chunk.text());
  return {{"bytes", bytes}, {"chunks", std::move(digests)}};
}

StoredMap StoredMap::from_json(const Json& json, const std::string& document) {
  StoredMap map;
  map.bytes = field<uint64_t>(json, "bytes", document);
  for (const auto& text : field<std::vector<std::string>>(json, "chunks", document)) {
    const auto digest = Digest::parse(text);
    if (!digest) throw Error::corrupt(fmt::format("{}: '{}' is no digest", document, text));
    map.chunks.push_back(*digest);
  }
  if (map.bytes > map_limit || map.chunks.size() != (map.bytes + map_chunk_bytes - 1) / map_chunk_bytes)
    throw Error::corrupt(document + ": the memory's map has a wrong size");
  return map;
}

StoredMap put_memory_map(PackWriter& writer, const MemoryMap& map) {
  const Bytes bytes = map.pack();
  if (bytes.size() > map_limit) throw Error("there is more memory than a snapshot can hold");
  StoredMap stored;
  stored.bytes = bytes.size();
  for (size_t at = 0; at < bytes.size(); at += map_chunk_bytes) {
    const auto piece = ByteSpan(bytes).subspan(at, std::min(map_chunk_bytes, bytes.size() - at));
    stored.chunks.push_back(writer.put_now({piece.begin(), piece.end()}));
  }
  return stored;
}

MemoryMap read_memory_map(Store& store, const StoredMap& stored) {
  Bytes bytes(stored.bytes);
  for (size_t i = 0; i < stored.chunks.size(); ++i) {
    const size_t at = i * map_chunk_bytes;
    store.read_into(stored.chunks[i],
                    MutableByteSpan(bytes).subspan(at, std::min(map_chunk_bytes, bytes.size() - at)));
  }
  return MemoryMap::parse(bytes, "the memory map " + stored.name().text());
}

void walk_memory(Store& store, const StoredMap& stored, std::vector<Digest>& out) {
  out.insert(out.end(), stored.chunks.begin(), stored.chunks.end());
  for (const MemoryChunk& chunk : read_memory_map(store, stored).chunks) out.push_back(chunk.digest);
}

}  // namespace coldstart
