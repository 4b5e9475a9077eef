#include "engine/crc32.h"

namespace bnn {
namespace {

// table[j][b] = CRC of byte b followed by j zero bytes ("slicing by 4": four bytes a step).
struct Tables {
  uint32_t table[4][256];

  constexpr Tables() : table() {
    for (uint32_t byte = 0; byte < 256; ++byte) {
      uint32_t crc = byte;
      for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? 0xEDB88320u : 0u);
      table[0][byte] = crc;
    }
    for (int j = 1; j < 4; ++j) {
      for (int byte = 0; byte < 256; ++byte) {
        const uint32_t before = table[j - 1][byte];
        table[j][byte] = (before >> 8) ^ table[0][before & 255];
      }
    }
  }
};

constexpr Tables kTables;

}  // namespace

uint32_t crc32(const uint8_t* data, size_t size) {
  const auto& t = kTables.table;
  uint32_t crc = ~0u;
  for (; size >= 4; size -= 4, data += 4) {
    crc ^= uint32_t(data[0]) | uint32_t(data[1]) << 8 | uint32_t(data[2]) << 16 |
           uint32_t(data[3]) << 24;
    crc = t[3][crc & 255] ^ t[2][(crc >> 8) & 255] ^ t[1][(crc >> 16) & 255] ^ t[0][crc >> 24];
  }
  for (; size > 0; --size, ++data) crc = (crc >> 8) ^ t[0][(crc ^ *data) & 255];
  return ~crc;
}

}  // namespace bnn
