/*
 * SPDX-License-Identifier: PostgreSQL
 *
 * short_memory.c: preloaded into a program, makes one allocation of it fail, or all from one on, as
 * the file named by $SHORT_MEMORY says, which short_memory.pl maps out and writes while the program
 * runs. There it keeps account too: of the calls since the last order, and of the blocks that are
 * in use, by the place in the code that has asked for them.
 *
 * A program that crashes says where, with the calls that led there; so does every failure with
 * $SHORT_MEMORY_TELL.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* glibc's own, by the names that nobody can take over. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *block, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

#define EXPORTED __attribute__((visibility("default")))
#define SITES_MOST 4096
#define BLOCKS_MOST (1u << 20) /* in use at one time; a power of two */

enum order
{
    ORDER_NONE,
    ORDER_ONCE, /* the n-th call fails */
    ORDER_ON    /* and all that follow */
};

/* A place in the code that allocates. */
struct site
{
    int64_t live;
    char name[56]; /* "libcurl.so.4+0x1234": the same in every process */
};

/* The file; short_memory.pl knows its layout. */
struct control
{
    _Atomic uint64_t order, nth;
    _Atomic uint64_t own; /* only calls by the program itself count, not those of its libraries */
    _Atomic uint64_t count, failed; /* since the harness has put them to 0 */
    uint64_t site_count;
    uint64_t last; /* the site that failed last */
    uint64_t spare;
    struct site sites[SITES_MOST];
};

struct block
{
    void *address;
    uint32_t site;
};

static struct control *control;
static struct block *blocks;
static void *site_callers[SITES_MOST];
static pthread_mutex_t accounts = PTHREAD_MUTEX_INITIALIZER;
static uintptr_t program_first, program_last;
static bool tells;

/* ---- accounts; the mutex is held ---- */

static uint32_t site_of(void *caller)
{
    uint32_t at = 0;
    struct site *site;
    const char *file;
    Dl_info info;

    while (at < control->site_count && site_callers[at] != caller)
        at++;
    if (at < control->site_count || at == SITES_MOST)
        return at == SITES_MOST ? 0 : at;
    site = &control->sites[at];
    site_callers[at] = caller;
    site->live = 0;
    if (dladdr(caller, &info) == 0)
        strcpy(site->name, "?");
    else
    {
        file = strrchr(info.dli_fname, '/');
        snprintf(site->name, sizeof site->name, "%.36s+0x%lx",
                 file == NULL ? info.dli_fname : file + 1,
                 (unsigned long) ((char *) caller - (char *) info.dli_fbase));
    }
    control->site_count++;
    return at;
}

static size_t home_of(const void *address)
{
    return ((uintptr_t) address >> 4) * 0x9e3779b97f4a7c15u >> 44;
}

static struct block *block_of(const void *address)
{
    size_t place = home_of(address);

    while (blocks[place].address != NULL && blocks[place].address != address)
        place = (place + 1) & (BLOCKS_MOST - 1);
    return &blocks[place];
}

/* Blocks behind it move up, or they would not be found any more. */
static void block_forget(struct block *block)
{
    size_t gap = (size_t) (block - blocks), place = gap;

    for (;;)
    {
        place = (place + 1) & (BLOCKS_MOST - 1);
        if (blocks[place].address == NULL)
            break;
        /* It may move when its home is not between the gap and itself. */
        if (((place - home_of(blocks[place].address)) & (BLOCKS_MOST - 1)) >=
            ((place - gap) & (BLOCKS_MOST - 1)))
        {
            blocks[gap] = blocks[place];
            gap = place;
        }
    }
    blocks[gap].address = NULL;
}

static void *account(void *address, void *caller)
{
    struct block *block;

    if (control == NULL || address == NULL)
        return address;
    pthread_mutex_lock(&accounts);
    block = block_of(address);
    block->address = address;
    block->site = site_of(caller);
    control->sites[block->site].live++;
    pthread_mutex_unlock(&accounts);
    return address;
}

static void unaccount(const void *address)
{
    struct block *block;

    if (control == NULL || address == NULL)
        return;
    pthread_mutex_lock(&accounts);
    block = block_of(address);
    if (block->address != NULL)
    {
        control->sites[block->site].live--;
        block_forget(block);
    }
    pthread_mutex_unlock(&accounts);
}

/* ---- failing ---- */

static void tell(const char *what)
{
    void *frames[40];

    if (write(2, what, strlen(what)) > 0)
        backtrace_symbols_fd(frames, backtrace(frames, 40), 2);
}

static bool fails(void *caller)
{
    uint64_t order, number;

    if (control == NULL || (order = atomic_load(&control->order)) == ORDER_NONE ||
        (atomic_load(&control->own) != 0 &&
         ((uintptr_t) caller < program_first || (uintptr_t) caller >= program_last)))
        return false;
    number = atomic_fetch_add(&control->count, 1) + 1;
    if (number < atomic_load(&control->nth) ||
        (order == ORDER_ONCE && number > atomic_load(&control->nth)))
        return false;
    if (atomic_fetch_add(&control->failed, 1) == 0)
    {
        pthread_mutex_lock(&accounts);
        control->last = site_of(caller);
        pthread_mutex_unlock(&accounts);
        if (tells)
            tell("short_memory: this allocation fails\n");
    }
    errno = ENOMEM;
    return true;
}

/* ---- what programs call ---- */

static void *allocate(size_t size, void *caller)
{
    return fails(caller) ? NULL : account(__libc_malloc(size), caller);
}

EXPORTED void *malloc(size_t size)
{
    return allocate(size, __builtin_return_address(0));
}

EXPORTED void *calloc(size_t count, size_t size)
{
    void *caller = __builtin_return_address(0);

    return fails(caller) ? NULL : account(__libc_calloc(count, size), caller);
}

EXPORTED void *realloc(void *before, size_t size)
{
    void *caller = __builtin_return_address(0), *after;

    if (fails(caller))
        return NULL;
    unaccount(before);
    after = __libc_realloc(before, size);
    return account(after == NULL && size > 0 ? before : after, caller) == after ? after : NULL;
}

EXPORTED int posix_memalign(void **place, size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0), *block = NULL;

    if (!fails(caller))
        block = account(__libc_memalign(alignment, size), caller);
    if (block == NULL)
        return ENOMEM;
    *place = block;
    return 0;
}

EXPORTED void *aligned_alloc(size_t alignment, size_t size)
{
    void *caller = __builtin_return_address(0);

    return fails(caller) ? NULL : account(__libc_memalign(alignment, size), caller);
}

static char *duplicate(const char *text, size_t length, void *caller)
{
    char *copy = allocate(length + 1, caller);

    if (copy == NULL)
        return NULL;
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

EXPORTED char *strdup(const char *text)
{
    return duplicate(text, strlen(text), __builtin_return_address(0));
}

EXPORTED char *strndup(const char *text, size_t most)
{
    return duplicate(text, strnlen(text, most), __builtin_return_address(0));
}

EXPORTED void free(void *block)
{
    unaccount(block);
    __libc_free(block);
}

/* ---- start ---- */

static void crashed(int signal_number)
{
    atomic_store(&control->order, ORDER_NONE);
    tell("short_memory: crashed\n");
    signal(signal_number, SIG_DFL);
    raise(signal_number);
}

/* The first object that is listed is the program. */
static int measure(struct dl_phdr_info *info, size_t size, void *context)
{
    (void) size;
    (void) context;
    program_first = info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD &&
            program_first + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz > program_last)
            program_last = program_first + info->dlpi_phdr[i].p_vaddr + info->dlpi_phdr[i].p_memsz;
    return 1;
}

__attribute__((constructor)) static void start(void)
{
    static char stack[1 << 16];
    const stack_t own_stack = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = crashed, .sa_flags = SA_ONSTACK};
    const char *path = getenv("SHORT_MEMORY");
    int fd = path == NULL ? -1 : open(path, O_RDWR | O_CLOEXEC);
    void *frames[4], *mapped;

    if (fd < 0)
        return;
    tells = getenv("SHORT_MEMORY_TELL") != NULL;
    (void) backtrace(frames, 4); /* loads what it needs */
    dl_iterate_phdr(measure, NULL);
    blocks = mmap(NULL, BLOCKS_MOST * sizeof *blocks, PROT_READ | PROT_WRITE,
                  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    mapped = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (blocks == MAP_FAILED || mapped == MAP_FAILED)
        return;
    sigaltstack(&own_stack, NULL);
    sigaction(SIGSEGV, &action, NULL);
    sigaction(SIGABRT, &action, NULL);
    sigaction(SIGBUS, &action, NULL);
    control = mapped;
}
