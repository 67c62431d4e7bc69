/* Preloaded: what a tired network file system does to the calls of a trainer.

   Under the folder FLAKY_UNDER, FLAKY_MILLE of a thousand calls fail with EIO or ESTALE in turn, and
   as many take 200 ms. FLAKY_SEED decides which. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

static const char *under;
static unsigned mille, seed;
static atomic_uint calls;

__attribute__((constructor)) static void begin(void) {
  under = getenv("FLAKY_UNDER");
  mille = getenv("FLAKY_MILLE") ? atoi(getenv("FLAKY_MILLE")) : 10;
  seed = getenv("FLAKY_SEED") ? atoi(getenv("FLAKY_SEED")) : 0;
}

static unsigned draw(unsigned n) {
  unsigned long x = n * 0x9E3779B97F4A7C15ul + seed * 0xBF58476D1CE4E5B9ul + 1;
  x ^= x >> 30; x *= 0xBF58476D1CE4E5B9ul; x ^= x >> 27; x *= 0x94D049BB133111EBul; x ^= x >> 31;
  return x % 1000;
}

static int fails(const char *path) {
  if (!under || !path || strncmp(path, under, strlen(under))) return 0;
  unsigned n = atomic_fetch_add(&calls, 1), drawn = draw(n);
  if (drawn < mille) {
    errno = n % 2 ? EIO : ESTALE;
    return 1;
  }
  if (drawn < 2 * mille) usleep(200000);
  return 0;
}

static int fails_at(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - 1);
  if (length <= 0) return 0;
  path[length] = 0;
  return fails(path);
}

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define MODE(last) va_list rest; va_start(rest, last); int mode = va_arg(rest, int); va_end(rest)

int open(const char *p, int flags, ...) { MODE(flags); return fails(p) ? -1 : NEXT(open)(p, flags, mode); }
int open64(const char *p, int flags, ...) { MODE(flags); return fails(p) ? -1 : NEXT(open64)(p, flags, mode); }
int openat(int d, const char *p, int flags, ...) { MODE(flags); return fails(p) ? -1 : NEXT(openat)(d, p, flags, mode); }
int openat64(int d, const char *p, int flags, ...) { MODE(flags); return fails(p) ? -1 : NEXT(openat64)(d, p, flags, mode); }
ssize_t write(int fd, const void *b, size_t n) { return fails_at(fd) ? -1 : NEXT(write)(fd, b, n); }
ssize_t pwrite(int fd, const void *b, size_t n, off_t o) { return fails_at(fd) ? -1 : NEXT(pwrite)(fd, b, n, o); }
ssize_t pwrite64(int fd, const void *b, size_t n, off64_t o) { return fails_at(fd) ? -1 : NEXT(pwrite64)(fd, b, n, o); }
ssize_t writev(int fd, const struct iovec *v, int n) { return fails_at(fd) ? -1 : NEXT(writev)(fd, v, n); }
int fsync(int fd) { return fails_at(fd) ? -1 : NEXT(fsync)(fd); }
int fdatasync(int fd) { return fails_at(fd) ? -1 : NEXT(fdatasync)(fd); }
int rename(const char *a, const char *b) { return fails(a) ? -1 : NEXT(rename)(a, b); }
int renameat(int d, const char *a, int e, const char *b) { return fails(a) ? -1 : NEXT(renameat)(d, a, e, b); }
int mkdir(const char *p, mode_t m) { return fails(p) ? -1 : NEXT(mkdir)(p, m); }
