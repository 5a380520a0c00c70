/*
 * The restorer's state and its steps, in the order in which main.c takes them.
 *
 * One rule shapes everything here: until the last instruction before the
 * frozen process runs, any failure ends in decline(), which execs the next
 * thing (the Python bootstrap, or the runtime's own command).  That works even
 * when our own address space is half replaced, because exec replaces it whole
 * and everything exec needs lies in `area`, which no plan may touch.
 */
#ifndef THAW_H
#define THAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "plan.h"
#include "sys.h"

/* Our part of the address space, relative to plan_header.area. */
#define AREA_IMAGE 0x0UL
#define AREA_VAULT 0x1000000UL   /* argv and environment */
#define AREA_STACK 0x2000000UL   /* of the leader */
#define AREA_WORKERS 0x3000000UL /* stacks and buffers of the decoders */
#define AREA_CELLS 0x4000000UL   /* stack and frame of each restored thread */
#define AREA_TEXT 0x6000000UL    /* the wake context being written */
#define AREA_AHEAD 0x8000000UL   /* blocks decoded while memory is mapped; 2 MiB-aligned */
#define AREA_VDSO 0x10000000UL   /* this kernel's vdso, parked */
#define AREA_PLAN 0x20000000UL

#define STACK_SIZE 0x10000UL
#define MAX_RANGES 64
#define MAX_FILES 700
#define MAX_WORKERS 4
#define BLOCK_MAX 0x40000UL
#define AHEAD_ROOM 0x1800000UL /* of each decoder but the first */
#define FRAME_SIZE 2048U
#define VECTORS_SIZE (64U + 512U + 1024U) /* opmask, upper halves of ZMM0-15, ZMM16-31 */
#define ADDRESS_LIMIT 0x7ffffffff000UL
#define MAX_TIMER_ID 20000U /* see process.c */
#define MOST_ATTEMPTS 2 /* as quickthaw/runtime/attempts.py */

enum phase { PHASE_CHECK, PHASE_MAP, PHASE_FILL, PHASE_FINISH, PHASE_COUNT };

struct range {
	uint64_t start, end;
	bool vdso, vvar;
};

/* Where hot library pages come from: the page cache, or copies in the packed pages. */
enum libraries { LIBRARIES_UNKNOWN, LIBRARIES_CACHED, LIBRARIES_COPIED };

struct options { /* QUICKTHAW_NATIVE=word,word: switches for learn and for tests */
	bool learn;       /* keep the kernel from mapping more file pages than are touched */
	bool hold;        /* stop (SIGSTOP) before the frozen process runs */
	bool proxy;       /* do not move the vdso, even when it is identical */
	bool park;        /* pretend that the vdso cannot be moved at all */
	bool no_populate; /* no MADV_POPULATE_WRITE */
	bool no_huge;     /* no MADV_HUGEPAGE */
	bool no_mm_map;   /* pretend that PR_SET_MM_MAP is refused */
	bool cached;      /* pages files and libraries are in the page cache */
	bool copied;      /* they are not */
	uint32_t workers; /* decoders; 0: one for each CPU */
};

struct fetched { /* see fetched.c */
	int plan_fd, packed_fd, pipe_fd; /* pipe_fd 0: the snapshot is a directory */
	uint64_t part;                   /* bytes of each part of pages.lz4 */
	uint64_t deadline_ns;            /* CLOCK_MONOTONIC */
	uint64_t bytes;                  /* fetched before us */
	uint64_t last_ns, wait_ns;
	const char *setting; /* the variable as it came, until relocate() */
	char name[256];      /* of the snapshot: its own text is gone when we wait */
};

#define TRY_VARIABLE "QUICKTHAW_TRY"
#define WATCHDOG_MOST_S 600UL /* as quickthaw/names.py */

/* No pointer in here leads to argv or the environment but through the copies in the vault. */
struct thaw {
	const char *snapshot; /* valid until maps_drop_all() */
	char **fallback;
	char **environ;
	int telemetry_fd;      /* _LAMBDA_TELEMETRY_LOG_FD; -1: none */
	uint32_t tries;        /* how often start_again() has been used */
	uint32_t attempts[MOST_ATTEMPTS]; /* numbers of the files that the wake has to remove; 0: none */
	int attempt_fd;        /* holds the lock of ours; 0: there is none */
	uint64_t watchdog_ns;  /* QUICKTHAW_WATCHDOG, else the plan's limit; 0: not known yet */
	char **arguments;      /* our own argv */
	const char *alone;     /* why the fallback is the original command: it is logged here; NULL: it is not */
	bool off;              /* a cold start is what the function asked for */
	bool criu;             /* the Python bootstrap may try CRIU: wanted and permitted */
	uint32_t bootstrap_words; /* of the fallback, before the original command */
	struct options options;
	struct fetched fetched;
	bool comparing;   /* files: a decline is no failed attempt */
	const char *step; /* what is being done, for the message of a crash */
	uint64_t area, area_end;
	const struct plan_header *plan;
	const uint8_t *packed;
	uint64_t bytes_read;
	uint64_t phase_ns[PHASE_COUNT];
	uint64_t started_ns, phase_began_ns;
	uint64_t compare_ns; /* opening and comparing the mapped files, beside the mapping */
	uint64_t signal_mask;
	int plan_fd, packed_fd, raw_fd;
	struct plan_header peeked; /* of plan_peek(), before the plan is mapped */
	int thaw_read, thaw_write;
	uint32_t range_count;
	struct range ranges[MAX_RANGES];
	uint64_t vdso, vdso_end, vvar; /* this kernel's, where they are now */
	bool vdso_identical;
	int files[MAX_FILES];
	bool warm, raw_warm;      /* pages.lz4, and pages.raw, are in the page cache */
	enum libraries libraries; /* known when files_open() has returned */
};

extern struct thaw thaw;

/* A table of the plan: its rows and their number. */
#define ROWS(type, id) \
	((const struct type *)((const uint8_t *)thaw.plan + thaw.plan->tables[id].offset))
#define COUNT(id) (thaw.plan->tables[id].count)
#define PIECE(piece) ((const void *)((const uint8_t *)thaw.plan + (piece).offset))

/* memory.c, xxh32.c */
size_t text_length(const char *text);
bool text_equal(const char *a, const char *b);
bool begins_with(const char *text, const char *with);
uint32_t xxh32(const void *data, size_t size);
int LZ4_decompress_safe(const char *source, char *target, int packed, int size);

/* format.c: %s %d %u (unsigned long) %x (unsigned long) %e (negative errno) */
size_t format(char *out, size_t room, const char *pattern, __builtin_va_list arguments);
size_t format_to(char *out, size_t room, const char *pattern, ...);
uint64_t number_at(const char **text);

/* decline.c */
_Noreturn void decline(const char *pattern, ...);
_Noreturn void start_fallback(const char *reason);
void start_again(void);
void catch_crashes(void);
void check_time(const char *what, uint32_t number);

/* report.c */
void report_cold(const char *reason, const char *function, bool wanted);

/* relocate.c */
_Noreturn void relocate(uint64_t area, void (*then)(void));

/* options.c */
bool options_read(int argc, char **argv, char **environ);

/* fetched.c */
void fetched_take(char **environ);
const char *fetched_setting(void);
uint32_t fetched_next(void);
void fetched_close(void);

/* plan.c, bounds.c, frames.c */
void plan_peek(struct plan_header *header);
void plan_open(void);
void plan_check_header(const struct plan_header *header, const char *path);
void plan_check_bounds(void);
void plan_check_threads(void);
void plan_check_outside_vdso(void);
const struct plan_map *plan_covering(uint64_t start, uint64_t size);
void plan_check_piece(struct plan_piece piece);

/* machine.c */
struct cpuid {
	uint32_t eax, ebx, ecx, edx;
};

void machine_check(void);
struct cpuid cpuid(uint32_t leaf, uint32_t sub);

/* maps.c */
void maps_read(void);
void maps_check_conflicts(void);
void maps_drop_all(void);

/* files.c */
void files_open(void);
void files_close(void);
void pages_open(void);

/* vdso.c */
void vdso_park(void);
void vdso_place(void);

/* vmas.c */
void vmas_map(bool files);
void vmas_copies(void);
void vmas_protect(void);

/* placement.c */
uint32_t placement_count(void);
void placement_apart(long decoder);
void placement_end(void);

/* fill.c */
void fill_begin(void);
void fill_end(void);

/* attempts.c */
size_t attempt_path(char *out, size_t room, uint32_t number);
void attempt_begin(void);
void attempt_withdraw(void);
void attempt_keep(void);

/* entries.c */
void entries_make(void);
void entries_remove(void);

/* objects.c, fds.c */
void objects_make(void);
void fds_keep(uint32_t number);
void fds_place(void);
void fds_settle(void);
void fds_take_back(void);
int scratch(int fd, uint32_t slot);

/* brk.c */
void memory_map_check(uint64_t heap);
void memory_map_set(void);

/* process.c */
void process_set(void);
void process_take_back(void);

/* threads.c */
void vectors_place(uint8_t *state, const uint8_t *registers, uint32_t room);
void threads_start(void);
void leader_prepare(void);
void leader_take_back(void);
_Noreturn void threads_release(void);
long clone_thread(unsigned long flags, void *stack_top, uint32_t *tid, uint64_t tls, void (*entry)(void *),
		  void *argument);
void futex_wait(uint32_t *word, uint32_t while_value);
void futex_wake(uint32_t *word);

/* context.c */
void context_prepare(void);
void context_send(void);

void phase_end(enum phase phase);

#endif
