/* Counts the blocks of PyTorch's CPU allocator, which asks for memory aligned to 64 bytes.
 *
 * Loaded with LD_PRELOAD. Every posix_memalign of that alignment is noted by its address, and every
 * free of a noted address gives it back, whichever thread or library made the call.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>

enum { ALIGNMENT = 64, SLOTS = 1 << 21 };

typedef struct {
    uintptr_t address; /* 0: never used, 1: given back */
    size_t size;
} Block;

static Block blocks[SLOTS];
static size_t live_bytes, peak_bytes;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int (*next_posix_memalign)(void **, size_t, size_t);

extern void __libc_free(void *);

static Block *probe(uintptr_t address, int for_insert) {
    size_t slot = (address / ALIGNMENT * 0x9E3779B97F4A7C15u) >> 43;
    for (;; slot = (slot + 1) % SLOTS) {
        Block *block = &blocks[slot % SLOTS];
        if (for_insert ? block->address <= 1 : block->address == address) return block;
        if (block->address == 0) return NULL;
    }
}

int posix_memalign(void **result, size_t alignment, size_t size) {
    if (!next_posix_memalign)
        next_posix_memalign =
            (int (*)(void **, size_t, size_t))dlsym(RTLD_NEXT, "posix_memalign");
    int status = next_posix_memalign(result, alignment, size);
    if (status != 0 || alignment != ALIGNMENT || size == 0) return status;
    pthread_mutex_lock(&lock);
    Block *block = probe((uintptr_t)*result, 1);
    block->address = (uintptr_t)*result;
    block->size = size;
    live_bytes += size;
    if (live_bytes > peak_bytes) peak_bytes = live_bytes;
    pthread_mutex_unlock(&lock);
    return status;
}

void free(void *address) {
    if (address && (uintptr_t)address % ALIGNMENT == 0) {
        pthread_mutex_lock(&lock);
        Block *block = probe((uintptr_t)address, 0);
        if (block) {
            live_bytes -= block->size;
            block->address = 1;
        }
        pthread_mutex_unlock(&lock);
    }
    __libc_free(address);
}

static void before_fork(void) { pthread_mutex_lock(&lock); }
static void after_fork(void) { pthread_mutex_unlock(&lock); }

/* A child that is forked while another thread holds the lock must not wait for it for ever. */
__attribute__((constructor)) static void start(void) {
    pthread_atfork(before_fork, after_fork, after_fork);
}

size_t interposer_live(void) { return live_bytes; }
size_t interposer_peak(void) { return peak_bytes; }
void interposer_reset_peak(void) { peak_bytes = live_bytes; }
