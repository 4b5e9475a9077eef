// For libraries that are linked on a new glibc and run on older ones (cmake/old_glibc.cmake): what
// they need of it that is newer than 2.17, in its first version or our own.
#include <pthread.h>

// By what the compiler is for, whatever CMAKE_SYSTEM_PROCESSOR says.
#if defined(__x86_64__) && defined(__LP64__)
#define BNN_FIRST_GLIBC "GLIBC_2.2.5"
#elif defined(__aarch64__) && defined(__LP64__)
#define BNN_FIRST_GLIBC "GLIBC_2.17"
#else
#error "64-bit x86-64 and AArch64 only: elsewhere the first version of pthread_create is another"
#endif

// glibc 2.34 moved threads into libc.so.6 and gave them a new version; the first is still there.
__asm__(".symver first_pthread_create, pthread_create@" BNN_FIRST_GLIBC);
__asm__(".symver first_pthread_join, pthread_join@" BNN_FIRST_GLIBC);

extern "C" {

int first_pthread_create(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
int first_pthread_join(pthread_t, void**);

// The linker puts these in the place of pthread_create and pthread_join everywhere (--wrap).
int __wrap_pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                          void* (*start)(void*), void* argument) {
  return first_pthread_create(thread, attributes, start, argument);
}
int __wrap_pthread_join(pthread_t thread, void** result) {
  return first_pthread_join(thread, result);
}

// glibc 2.32 has it to tell the C++ library whether reference counts may do without atomics: never.
char __libc_single_threaded = 0;
}
