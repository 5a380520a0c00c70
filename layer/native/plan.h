/*
 * The byte layout of native/plan, as quickthaw/plan/layout.py writes it.
 *
 * A fixed header, tables of fixed-size records, and one data region that
 * `struct plan_piece` points into (offsets are from the start of the file).
 * Little endian, tables 8-aligned.  A test prints every size and offset of
 * this file and compares them with the Python side; PLAN_VERSION changes
 * whenever either side does.
 */
#ifndef PLAN_H
#define PLAN_H

#include <stdint.h>

#define PLAN_MAGIC 0x0a0d4e414c505451ULL  /* "QTPLAN\r\n" */
#define PAGES_MAGIC 0x0a0d454741505451ULL /* "QTPAGE\r\n" */
#define PLAN_VERSION 8
#define PLAN_MACHINE 62 /* EM_X86_64 */
#define SAMPLE_ROOM 0x8000 /* most bytes of a file that are compared as one sample */

#define AREA_PACKED 0x40000000ULL

enum plan_layout { LAYOUT_LZ4 = 1, LAYOUT_LAZY = 2, LAYOUT_HOT = 3 };

#define FILE_NONE (-1)
#define FILE_RAW (-2)
#define FILE_OBJECT (-3) /* object 0; -4: object 1 ... */

#define THREAD_PATCH_TID 1

enum plan_object_kind {
	OBJECT_HELD = 0,
	OBJECT_INHERITED = 1,
	OBJECT_FILE = 2,
	OBJECT_PIPE = 3,
	OBJECT_EVENTFD = 4,
	OBJECT_EPOLL = 5,
	OBJECT_SOCKETPAIR = 6,
	OBJECT_TIMERFD = 7,
	OBJECT_SIGNALFD = 8,
	OBJECT_MEMFD = 9,
	OBJECT_TMPFILE = 10,
	OBJECT_SOCKET = 11,
	OBJECT_FIFO = 12,
	OBJECT_AGAIN = 13,
};

enum plan_entry_kind { ENTRY_DIRECTORY = 1, ENTRY_FILE = 2, ENTRY_LINK = 3, ENTRY_FIFO = 4, ENTRY_SAME = 5 };

struct plan_piece {
	uint32_t offset;
	uint32_t size;
};

struct plan_sample {
	uint64_t offset;
	uint32_t size;
	uint32_t checksum; /* XXH32 */
};

struct plan_file {
	struct plan_piece path; /* with its NUL */
	uint64_t size;
	int64_t mtime_ns;
	struct plan_sample sample[2];
};

struct plan_map {
	uint64_t start;
	uint64_t size;
	uint64_t offset; /* in the file */
	uint32_t prot;   /* while filling; plan_protect gives the final one */
	uint32_t flags;
	int32_t file;
	uint32_t advice; /* bit n: madvise(n) */
};

struct plan_block {
	uint64_t offset; /* in pages.lz4 */
	uint32_t packed; /* == size: stored as it is */
	uint32_t size;
	uint32_t segment;
	uint32_t segments;
	uint32_t checksum; /* XXH32 of the packed bytes, xor that of the rows of its segments */
	uint32_t taken;    /* 0; the restorer's own mark, see fill.c */
};

struct plan_segment {
	uint64_t start;
	uint64_t size;
};

struct plan_touch { /* lazy pages, and libraries' own, that will be touched, as far as was learned */
	uint64_t start;
	uint64_t size;
	uint32_t write; /* copy all of it; else read from it once */
	uint32_t reserved;
};

struct plan_protect {
	uint64_t start;
	uint64_t size;
	uint32_t prot;
	uint32_t reserved;
};

struct plan_thread {
	uint64_t clear_tid;
	uint64_t fs_base;
	uint64_t gs_base;
	uint64_t robust;
	uint64_t rseq;
	uint32_t robust_size;
	uint32_t rseq_size;
	uint32_t rseq_signature;
	uint32_t tid;
	uint32_t flags;
	uint32_t death_signal;
	struct plan_piece frame;
	struct plan_piece vectors; /* AVX-512 registers; nothing where none was live */
	char name[16];
};

struct plan_sigaction { /* the kernel's own layout */
	uint64_t handler;
	uint64_t flags;
	uint64_t restorer;
	uint64_t mask;
};

struct plan_symbol {
	struct plan_piece name; /* with its NUL */
	uint64_t offset;
};

struct plan_object {
	uint32_t kind;
	uint32_t flags;
	struct plan_piece path; /* with its NUL */
	struct plan_piece data;
	uint64_t a, b, c, d; /* by kind, see layout.py */
};

struct plan_option { /* in the data of a socket, before its address */
	int32_t level, name, value;
};

struct plan_fd {
	uint32_t fd;
	uint32_t object;
	uint32_t cloexec;
	uint32_t reserved;
};

struct plan_watch {
	uint32_t epoll;
	uint32_t fd;
	uint32_t events;
	uint32_t reserved;
	uint64_t data;
};

struct plan_lock {
	uint32_t fd;
	uint32_t kind; /* 1 POSIX, 2 flock, 4 OFD: CRIU's numbers */
	uint32_t type; /* F_RDLCK, F_WRLCK */
	uint32_t reserved;
	uint64_t start;
	uint64_t size;
};

struct plan_timer {
	uint32_t id;
	int32_t clock;
	uint32_t signal;
	uint32_t notify;
	uint64_t value;
	uint32_t thread; /* index of the thread to notify */
	uint32_t reserved;
	uint64_t left_ns;
	uint64_t interval_ns;
};

struct plan_entry { /* what an import left in /tmp */
	uint32_t kind;
	uint32_t mode;
	struct plan_piece path; /* with its NUL */
	struct plan_piece data; /* contents, or a link's target with its NUL */
	int64_t mtime_ns;
};

struct plan_copy { /* anonymous memory for hot pages of a library, over its mapping */
	uint64_t start;
	uint64_t size;
	uint32_t prot; /* while filling */
	uint32_t flags;
};

struct plan_probe { /* a page that tells whether the libraries are in the page cache */
	uint64_t offset;
	uint32_t file;
	uint32_t reserved;
};

enum plan_table_id {
	TABLE_FILES,
	TABLE_MAPS,
	TABLE_BLOCKS,
	TABLE_SEGMENTS,
	TABLE_PROTECTS,
	TABLE_THREADS,
	TABLE_SIGACTIONS,
	TABLE_SYMBOLS,
	TABLE_OBJECTS,
	TABLE_FDS,
	TABLE_WATCHES,
	TABLE_LOCKS,
	TABLE_TIMERS,
	TABLE_ENTRIES,
	TABLE_TOUCHES,
	TABLE_COPIES,
	TABLE_PROBES,
	TABLE_COUNT
};

struct plan_table {
	uint64_t offset;
	uint32_t count;
	uint32_t record_size;
};

struct plan_cpu { /* bits that must be set, cpuid and XGETBV */
	uint32_t leaf1_ecx, leaf1_edx;
	uint32_t leaf7_ebx, leaf7_ecx, leaf7_edx;
	uint32_t leaf7_1_eax;
	uint32_t extended1_ecx, extended1_edx;
	uint64_t xcr0;
};

struct plan_mm {
	uint64_t start_code, end_code, start_data, end_data;
	uint64_t start_brk, brk, start_stack;
	uint64_t arg_start, arg_end, env_start, env_end;
};

struct plan_header {
	uint64_t magic;
	uint32_t version;
	uint32_t header_size;
	uint64_t size;
	uint32_t checksum; /* XXH32 of the file, this field zero */
	uint32_t machine;
	uint64_t tag; /* the same in pages.lz4 and pages.raw */
	uint64_t area;
	uint64_t packed_size; /* of pages.lz4; 0: none */
	uint64_t raw_size;    /* of pages.raw; 0: none */
	uint64_t limit_ns;    /* that a thaw may take: what the cold start takes that it saves, see plan/build.py */
	uint32_t layout;
	uint32_t max_fd;
	struct plan_cpu cpu;
	uint64_t vdso_start, vdso_size;
	uint64_t vvar_start, vvar_size;
	struct plan_mm mm;
	uint32_t umask;
	uint32_t membarrier; /* bit n: membarrier(1 << n) was registered */
	uint32_t scratch_fd;
	uint32_t thaw_fd, woke_fd, telemetry_fd;
	uint32_t copy_block, copy_protect; /* the first that are for copies only; all behind them are, too */
	struct plan_piece vdso;
	struct plan_piece auxv;
	struct plan_piece cwd;     /* with its NUL */
	struct plan_piece context; /* members added to the wake context, JSON text */
	struct plan_piece itimers; /* three struct itimerval, or nothing */
	struct plan_table tables[TABLE_COUNT];
};

struct plan_pages_header { /* first bytes of pages.lz4 and pages.raw */
	uint64_t magic;
	uint64_t tag;
	uint64_t size;
};

#endif
