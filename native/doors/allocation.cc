// Memory of the C++ library's runtime, for what is linked without that library: the board binary
// and plug-ins, which a runtime with any C++ library, or none, may load. An allocation that would
// throw is not here: a plug-in that needs one does not link.
#include <cstdlib>
#include <new>

void* operator new(size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
void* operator new[](size_t size, const std::nothrow_t&) noexcept { return std::malloc(size); }
void* operator new(size_t size, std::align_val_t alignment, const std::nothrow_t&) noexcept {
  const size_t unit = size_t(alignment);
  return std::aligned_alloc(unit, (size + unit - 1) / unit * unit);
}

void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, size_t, std::align_val_t) noexcept { std::free(memory); }

#if defined(__GLIBCXX__)
const std::nothrow_t std::nothrow{};
#endif
