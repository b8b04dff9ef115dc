// Reads the memory of a core into what a snapshot of the process would have been.
//
// One thread. Memory: as of a snapshot (16 bytes a pointer), and a buffer. The time is that of reading the file.
#pragma once

#include "analyzer/decode/core_areas.hpp"
#include "analyzer/decode/core_file.hpp"
#include "analyzer/decode/snapshot.hpp"

#include <functional>
#include <span>

namespace leak::analyzer {

// `blocks`, which lie outside the areas, are pointed to, too. Called with the share done, 0..1, now and then:
// on_progress, which may be empty.
[[nodiscard]] MemoryImage read_core_image(const CoreFile& core, CoreAreas areas, std::span<const AddressRange> blocks,
                                          const std::function<void(double)>& on_progress = {});

} // namespace leak::analyzer
