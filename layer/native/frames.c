/*
 * Can the threads of a plan run at all?  What bounds.c is for memory, for registers.
 *
 * A process that is let go with a stack pointer into nothing dies without a
 * word, after the last moment at which it could have been a cold start.
 */
#include "thaw.h"

#define BAD(what) decline("the plan is damaged: %s", what)

/* Of struct rt_sigframe, see plan/frame.py. */
#define UC_FLAGS 8
#define STACK_POINTER 168
#define INSTRUCTION 176
#define FLAGS 184
#define SEGMENTS 192 /* cs, gs, fs, ss */
#define FPSTATE 512
#define MXCSR (FPSTATE + 24)
#define SOFTWARE (FPSTATE + 464) /* struct _fpx_sw_bytes */
#define XSTATE_HEADER (FPSTATE + 512)

#define UC_FLAGS_64 6 /* UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS */
#define USER_CODE 0x33
#define USER_DATA 0x2b
#define TRAP_FLAG 0x100UL
#define MAGIC1 0x46505853U
#define MAGIC2 0x46505845U
#define XFEATURES 7UL /* x87, SSE, AVX */
#define ROBUST_SIZE 24 /* struct robust_list_head */
#define RSEQ_ALIGN 32
#define RSEQ_MIN 32

static uint64_t word_at(const uint8_t *frame, size_t at)
{
	uint64_t word;

	__builtin_memcpy(&word, frame + at, sizeof(word));
	return word;
}

static uint32_t half_at(const uint8_t *frame, size_t at)
{
	return (uint32_t)word_at(frame, at);
}

static void demand(uint64_t address, uint64_t size, uint32_t prot)
{
	uint64_t first = address & ~(PAGE - 1);

	if (address > ADDRESS_LIMIT || (plan_covering(first, PAGE_UP(address - first + size))->prot & prot) != prot)
		BAD("an address of a thread");
}

static void demand_code(uint64_t address)
{
	const struct plan_header *plan = thaw.plan;

	if (address >= plan->vdso_start && address - plan->vdso_start < plan->vdso_size)
		return;
	demand(address, 1, PROT_EXEC);
}

/* The AVX part: what the kernel would refuse, or XRSTOR fault on. */
static void check_extended(const uint8_t *frame)
{
	uint32_t size = half_at(frame, SOFTWARE + 16);

	if (!half_at(frame, SOFTWARE))
		return; /* FXSAVE only */
	if (half_at(frame, SOFTWARE) != MAGIC1 || size < 576 || size > FRAME_SIZE - FPSTATE - sizeof(uint32_t) - 8 ||
	    half_at(frame, SOFTWARE + 4) != size + sizeof(uint32_t) || half_at(frame, FPSTATE + size) != MAGIC2)
		BAD("a thread's vector registers");
	for (size_t at = 8; at < 64; at += 8) /* XCOMP_BV and reserved */
		if (word_at(frame, XSTATE_HEADER + at))
			BAD("a thread's vector registers");
}

static void check_frame(const uint8_t *frame)
{
	uint64_t segments = word_at(frame, SEGMENTS);

	if (word_at(frame, UC_FLAGS) != UC_FLAGS_64 || (segments & 0xffff) != USER_CODE || segments >> 48 != USER_DATA ||
	    word_at(frame, FLAGS) & TRAP_FLAG || half_at(frame, MXCSR) >> 16)
		BAD("a thread's registers");
	demand_code(word_at(frame, INSTRUCTION));
	demand(word_at(frame, STACK_POINTER), 1, PROT_READ | PROT_WRITE);
	check_extended(frame);
}

static void check_thread(const struct plan_thread *thread)
{
	const uint32_t both = PROT_READ | PROT_WRITE;

	plan_check_piece(thread->frame);
	plan_check_piece(thread->vectors);
	if (thread->frame.size != FRAME_SIZE || thread->name[sizeof(thread->name) - 1])
		BAD("a thread");
	if (thread->vectors.size && thread->vectors.size != VECTORS_SIZE)
		BAD("a thread's vector registers");
	check_frame(PIECE(thread->frame));
	demand(thread->fs_base, sizeof(uint64_t), both);
	if (thread->gs_base > ADDRESS_LIMIT || thread->death_signal > 64 || thread->clear_tid % sizeof(uint32_t))
		BAD("a thread");
	if (thread->clear_tid)
		demand(thread->clear_tid, sizeof(uint32_t), both);
	if (thread->robust && (thread->robust_size != ROBUST_SIZE || thread->robust % 8))
		BAD("a thread's robust list");
	if (thread->robust)
		demand(thread->robust, ROBUST_SIZE, both);
	if (thread->rseq && (thread->rseq_size < RSEQ_MIN || thread->rseq_size > PAGE || thread->rseq % RSEQ_ALIGN))
		BAD("a thread's rseq area");
	if (thread->rseq)
		demand(thread->rseq, thread->rseq_size, both);
}

/* Two threads that return into the same registers would share a stack. */
static void check_own_frame(const struct plan_thread *threads, uint32_t at)
{
	for (uint32_t other = 0; other < at; other++)
		if (threads[at].frame.offset < threads[other].frame.offset + FRAME_SIZE &&
		    threads[other].frame.offset < threads[at].frame.offset + FRAME_SIZE)
			BAD("two threads have the same registers");
}

/* Who was stopped in the vdso goes on in the middle of it: in the same code, with the same data, or not at all. */
void plan_check_outside_vdso(void)
{
	const struct plan_thread *threads = ROWS(plan_thread, TABLE_THREADS);
	const struct plan_header *plan = thaw.plan;

	for (uint32_t at = 0; at < COUNT(TABLE_THREADS); at++)
		if (word_at(PIECE(threads[at].frame), INSTRUCTION) - plan->vdso_start < plan->vdso_size)
			decline("thread %u was stopped in the vdso, and this kernel has another one",
				(unsigned long)threads[at].tid);
}

void plan_check_threads(void)
{
	const struct plan_thread *threads = ROWS(plan_thread, TABLE_THREADS);
	const struct plan_sigaction *actions = ROWS(plan_sigaction, TABLE_SIGACTIONS);

	if (!COUNT(TABLE_THREADS) || COUNT(TABLE_THREADS) > (AREA_TEXT - AREA_CELLS) / (2 * PAGE))
		BAD("the number of threads");
	for (uint32_t at = 0; at < COUNT(TABLE_THREADS); at++)
		check_thread(&threads[at]);
	for (uint32_t at = 0; at < COUNT(TABLE_THREADS); at++)
		check_own_frame(threads, at);
	if (COUNT(TABLE_SIGACTIONS) != 64)
		BAD("the number of signals");
	for (uint32_t at = 0; at < COUNT(TABLE_SIGACTIONS); at++) {
		if (actions[at].handler > 1) /* SIG_DFL, SIG_IGN */
			demand_code(actions[at].handler);
		if (actions[at].handler > 1 && actions[at].flags & SA_RESTORER)
			demand_code(actions[at].restorer);
	}
}
