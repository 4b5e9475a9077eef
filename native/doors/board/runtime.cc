// The part of the C++ library's runtime that this program needs beside allocation.cc: the end when
// there is no memory. The library's own would bring exceptions, their unwinder and the demangler
// along; with these functions the program can be linked with no C++ library at all.
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

#if defined(__GLIBCXX__)
namespace std {

void __throw_bad_alloc() { fail("no memory"); }
void __throw_bad_array_new_length() { fail("no memory"); }
void __throw_length_error(const char* what) { fail(what); }

}  // namespace std
#endif
