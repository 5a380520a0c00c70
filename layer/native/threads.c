/*
 * The threads: made while nothing of the process runs yet, started all at once.
 *
 * A thread id cannot be chosen without privileges, and need not be: what glibc
 * remembers of it is the word that the kernel clears when the thread ends
 * (pthread's tid).  CLONE_PARENT_SETTID writes the new id there.
 *
 * Each thread waits behind a gate in our code, with its registers in a signal
 * frame; passing the gate is rt_sigreturn.
 */
#include "thaw.h"

#define CELL_SIZE (2 * PAGE) /* stack, then frame */
#define FPSTATE_POINTER 232  /* of the frame, see plan/frame.py */
#define FPSTATE 512
#define RSEQ_CPU_MAX 8191
#define RSEQ_CPU_ID 4
#define RSEQ_FAILED (-2) /* RSEQ_CPU_ID_REGISTRATION_FAILED */

static uint32_t ready, gate;

long clone_thread(unsigned long flags, void *stack_top, uint32_t *tid, uint64_t tls, void (*entry)(void *),
		  void *argument)
{
	uint64_t *stack = (uint64_t *)((uintptr_t)stack_top & ~63UL);
	long result;
	register long r10 __asm__("r10") = (long)tid;
	register long r8 __asm__("r8") = (long)tls;

	*--stack = (uint64_t)argument;
	*--stack = (uint64_t)entry;
	__asm__ volatile("syscall\n\t"
			 "test %%rax, %%rax\n\t"
			 "jnz 1f\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "pop %%rax\n\t"
			 "pop %%rdi\n\t"
			 "call *%%rax\n\t"
			 "mov %[exit], %%eax\n\t"
			 "xor %%edi, %%edi\n\t"
			 "syscall\n\t"
			 "hlt\n"
			 "1:"
			 : "=a"(result)
			 : "a"(__NR_clone), "D"(flags), "S"(stack), "d"(tid), "r"(r10), "r"(r8), [exit] "i"(__NR_exit)
			 : "rcx", "r11", "memory");
	return result;
}

void futex_wait(uint32_t *word, uint32_t while_value)
{
	SYS(futex, word, FUTEX_WAIT, while_value, NULL);
}

void futex_wake(uint32_t *word)
{
	SYS(futex, word, FUTEX_WAKE, 0x7fffffff);
}

static uint8_t *cell(uint32_t index)
{
	return (uint8_t *)thaw.area + AREA_CELLS + index * CELL_SIZE;
}

static uint8_t *frame_of(uint32_t index)
{
	return cell(index) + PAGE;
}

__attribute__((noreturn)) static void enter(const uint8_t *frame)
{
	/* The kernel expects the frame as if its first word, the return address, had been popped. */
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "mov %1, %%eax\n\t"
			 "syscall\n\t"
			 "hlt"
			 :
			 : "r"(frame + 8), "i"(__NR_rt_sigreturn)
			 : "memory");
	__builtin_unreachable();
}

/* What belongs to a thread and only it can set. */
static void become(const struct plan_thread *thread)
{
	if (thread->gs_base)
		SYS(arch_prctl, ARCH_SET_GS, thread->gs_base);
	if (thread->robust)
		SYS(set_robust_list, thread->robust, thread->robust_size);
	if (thread->rseq &&
	    SYS(rseq, thread->rseq, thread->rseq_size, 0, thread->rseq_signature) < 0)
		/* Refused here: without this sched_getcpu() would give the CPU of the freeze for ever. */
		*(int32_t *)(thread->rseq + RSEQ_CPU_ID) = RSEQ_FAILED;
	if (thread->death_signal)
		SYS(prctl, PR_SET_PDEATHSIG, thread->death_signal);
	SYS(prctl, PR_SET_NAME, thread->name);
}

static void wait_at_gate(void *argument)
{
	uint32_t index = (uint32_t)(uintptr_t)argument;

	become(&ROWS(plan_thread, TABLE_THREADS)[index]);
	__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
	futex_wake(&ready);
	while (!__atomic_load_n(&gate, __ATOMIC_ACQUIRE))
		futex_wait(&gate, 0);
	enter(frame_of(index));
}

/* rseq's area is thread-local: as far from each thread's pointer as from any other's (glibc's __rseq_offset). */
static bool rseq_is_elsewhere(const struct plan_thread *threads, uint32_t at)
{
	uint32_t first = 0;

	while (!threads[first].rseq)
		first++;
	return threads[at].rseq - threads[at].fs_base != threads[first].rseq - threads[first].fs_base;
}

/* What the plan says of a thread must fit the memory that it is about; the last look before it runs. */
static void check_memory(const struct plan_thread *threads, uint32_t at)
{
	const struct plan_thread *thread = &threads[at];
	const uint32_t *rseq = (const uint32_t *)thread->rseq; /* cpu_id_start, cpu_id; at 8 rseq_cs */

	if (*(const uint64_t *)thread->fs_base != thread->fs_base) /* the ABI's own address, psABI 3.4.2 */
		decline("the plan is damaged: thread %u has no thread area", (unsigned long)thread->tid);
	if (thread->flags & THREAD_PATCH_TID && *(const uint32_t *)thread->clear_tid != thread->tid)
		decline("the plan is damaged: thread %u does not know its id", (unsigned long)thread->tid);
	if (rseq && (rseq[0] != rseq[1] || rseq[0] > RSEQ_CPU_MAX || *(const uint64_t *)(rseq + 2) ||
		     rseq_is_elsewhere(threads, at)))
		decline("the plan is damaged: thread %u has no rseq area", (unsigned long)thread->tid);
}

void threads_start(void)
{
	const struct plan_thread *threads = ROWS(plan_thread, TABLE_THREADS);
	uint32_t count = COUNT(TABLE_THREADS), seen;
	uint64_t cells = (uint64_t)cell(0);
	long result = SYS(mmap, cells, count * CELL_SIZE, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);

	if (result != (long)cells)
		decline("no memory for threads: %e", result);
	for (uint32_t at = 0; at < count; at++) {
		uint64_t state = (uint64_t)frame_of(at) + FPSTATE;

		check_memory(threads, at);
		__builtin_memcpy(frame_of(at), PIECE(threads[at].frame), FRAME_SIZE);
		__builtin_memcpy(frame_of(at) + FPSTATE_POINTER, &state, sizeof(state));
		if (threads[at].vectors.size)
			vectors_place(frame_of(at) + FPSTATE, PIECE(threads[at].vectors), PAGE - FPSTATE);
	}
	for (uint32_t at = 1; at < count; at++) {
		unsigned long flags = CLONE_THREAD_ALIKE | CLONE_SETTLS | CLONE_CHILD_CLEARTID;

		if (threads[at].flags & THREAD_PATCH_TID)
			flags |= CLONE_PARENT_SETTID;
		result = clone_thread(flags, cell(at) + PAGE, (uint32_t *)threads[at].clear_tid, threads[at].fs_base,
				      wait_at_gate, (void *)(uintptr_t)at);
		if (result < 0)
			decline("cannot start thread %u of %u: %e", (unsigned long)at + 1, (unsigned long)count, result);
	}
	while ((seen = __atomic_load_n(&ready, __ATOMIC_ACQUIRE)) < count - 1)
		futex_wait(&ready, seen);
}

static bool death_signal_set;
static int32_t death_signal_found;

/* The leader's thread-local state; no code of liblz4 may run after it, see relocate.c. */
void leader_prepare(void)
{
	const struct plan_thread *leader = ROWS(plan_thread, TABLE_THREADS);
	long result = SYS(arch_prctl, ARCH_SET_FS, leader->fs_base), tid;

	if (result < 0)
		decline("arch_prctl: %e", result);
	tid = SYS(set_tid_address, leader->clear_tid);
	if (leader->flags & THREAD_PATCH_TID)
		*(uint32_t *)leader->clear_tid = (uint32_t)tid;
	if (leader->death_signal)
		death_signal_set = SYS(prctl, PR_GET_PDEATHSIG, &death_signal_found) == 0;
	become(leader);
}

void leader_take_back(void)
{
	if (death_signal_set)
		SYS(prctl, PR_SET_PDEATHSIG, death_signal_found);
}

/* The point of no return. */
_Noreturn void threads_release(void)
{
	__atomic_store_n(&gate, 1, __ATOMIC_RELEASE);
	futex_wake(&gate);
	enter(frame_of(0));
}
