// The part of the C++ library's runtime that this program needs: memory, and the end when there is
// none. The library's own would bring exceptions, their unwinder and the demangler along, and with
// these functions here the program can be linked with no C++ library at all.
#include <cstdio>
#include <cstdlib>
#include <new>

namespace {

[[noreturn]] void fail(const char* what) {
  std::fprintf(stderr, "bnn-board: %s\n", what);
  std::exit(1);
}

void* taken(void* memory) { return memory ? memory : (fail("no memory"), nullptr); }

}  // namespace

void* operator new(size_t size) { return taken(std::malloc(size)); }
void* operator new[](size_t size) { return taken(std::malloc(size)); }
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
namespace std {

const nothrow_t nothrow{};
void __throw_bad_alloc() { fail("no memory"); }
void __throw_bad_array_new_length() { fail("no memory"); }
void __throw_length_error(const char* what) { fail(what); }

}  // namespace std
#endif
