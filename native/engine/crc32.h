#pragma once

#include <cstddef>
#include <cstdint>

namespace bnn {

// CRC-32 as in zlib and PNG (reflected polynomial 0xEDB88320, start and end inverted).
uint32_t crc32(const uint8_t* data, size_t size);

}  // namespace bnn
