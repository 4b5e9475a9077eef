// AVX-512: each format of the stream behind the engine's dense kernel.
#include "bench/stream_sink.h"
#include "core/bconv2d/broadcast.h"
#include "core/bconv2d/fused_kernel.h"
#include "core/bconv2d/x86_avx512_words.h"

namespace bnn {
namespace {

using Kernel = Broadcast<Avx512Words, false, 7, 2>;
using Fused = FusedKernel<Kernel, Avx512>;

struct Float {  // what the formats without steps and offsets have in common
  struct Constants {};
  static constexpr bool kFoldsZeta = false;
  static Constants constants(const StreamConstants&, int) { return {}; }
};

struct Float32 : Float {
  using Element = float;
  static __m512 add(__m512 y, const float* p, Constants) {
    return _mm512_add_ps(y, _mm512_loadu_ps(p));
  }
  static void store(float* p, __m512 y, Constants) { _mm512_storeu_ps(p, y); }
};

struct Bfloat16 : Float {  // the upper half of a float32
  using Element = uint16_t;
  static __m512 add(__m512 y, const uint16_t* p, Constants) {
    const __m256i halves = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p));
    return _mm512_add_ps(y,
                         _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16)));
  }
};

struct Bfloat16Native : Bfloat16 {
  static void store(uint16_t* p, __m512 y, Constants) {
    const __m256bh halves = _mm512_cvtneps_pbh(y);
    __m256i bits;
    std::memcpy(&bits, &halves, sizeof bits);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), bits);
  }
};

struct Bfloat16Integer : Bfloat16 {  // ties away from zero: two instructions less than to even
  static void store(uint16_t* p, __m512 y, Constants) {
    const __m512i bits = _mm512_castps_si512(y);
    const __m512i rounded =
        _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x8000)), 16);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtepi32_epi16(rounded));
  }
};

struct Float16 : Float {
  using Element = uint16_t;
  static __m512 add(__m512 y, const uint16_t* p, Constants) {
    return _mm512_add_ps(y,
                         _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))));
  }
  static void store(uint16_t* p, __m512 y, Constants) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(p),
                        _mm512_cvtps_ph(y, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
  }
};

struct Int8 {
  using Element = int8_t;
  struct Constants {
    __m512 in_step, out_scale, out_offset;
  };
  static constexpr bool kFoldsZeta = true;
  static Constants constants(const StreamConstants& from, int c) {
    return {_mm512_loadu_ps(from.in_step + c), _mm512_loadu_ps(from.out_scale + c),
            _mm512_loadu_ps(from.out_offset + c)};
  }
  static __m512 add(__m512 y, const int8_t* p, const Constants& k) {
    const __m128i q = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
    return _mm512_fmadd_ps(_mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(q)), k.in_step, y);
  }
  static void store(int8_t* p, __m512 y, const Constants& k) {
    const __m512i q = _mm512_cvtps_epi32(_mm512_fmadd_ps(y, k.out_scale, k.out_offset));
    _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtsepi32_epi8(q));
  }
};

template <class Format>
void run_row(const ConvShape& shape, const void* prepared, const StreamConstants& constants,
             const StreamRow& row) {
  Kernel::run(shape, Fused::weights_of(shape, prepared), row.in,
              StreamSink<Avx512, Format>(shape, constants, row));
}

void run_engine_row(const ConvShape& shape, const void* prepared, const StreamConstants& constants,
                    const StreamRow& row) {
  const ShortcutRow shortcut = {static_cast<const float*>(row.shortcut), shape.out_c};
  Fused::run_row(shape, prepared, constants.epilogue,
                 {row.in, shortcut, {static_cast<float*>(row.values), row.bits}});
}

}  // namespace

const StreamFormat* stream_formats(int* count) {
  static const StreamFormat kFormats[] = {
      {"float32, engine", StreamType::kFloat32, false, run_engine_row},
      {"float32", StreamType::kFloat32, false, run_row<Float32>},
      {"bfloat16, native", StreamType::kBfloat16, true, run_row<Bfloat16Native>},
      {"bfloat16, integer", StreamType::kBfloat16, false, run_row<Bfloat16Integer>},
      {"float16", StreamType::kFloat16, false, run_row<Float16>},
      {"int8", StreamType::kInt8, false, run_row<Int8>},
  };
  *count = int(sizeof kFormats / sizeof *kFormats);
  return kFormats;
}

size_t stream_prepared_bytes(const ConvShape& shape) { return Fused::prepared_bytes(shape); }

void prepare_stream(const ConvShape& shape, const uint64_t* weights, void* prepared) {
  Fused::prepare(shape, weights, nullptr, prepared);
}

}  // namespace bnn
