/*
 * Moves the running program to a place that the plan leaves free.
 *
 * The program is linked low (see thaw.ld), only so that the kernel puts its
 * brk below any heap of a position-independent interpreter, see process.c.
 * There it would be in the way of others.  All code is position independent
 * and no data holds an address, so a copy of the image runs anywhere; a test
 * asserts that the linker left no absolute relocation in it.
 */
#include "thaw.h"

extern uint8_t image_start[] __attribute__((visibility("hidden")));
extern uint8_t image_data[] __attribute__((visibility("hidden")));
extern uint8_t image_end[] __attribute__((visibility("hidden")));

/* Code of liblz4 reads its stack protector's canary at %fs:0x28. */
static uint64_t thread_area[8];

static void *claim(uint64_t start, uint64_t size)
{
	long got = SYS(mmap, start, size, PROT_READ | PROT_WRITE,
		       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE | MAP_NORESERVE, -1, 0);

	/* Kernels before 4.17 take the address as a hint. */
	if (got != (long)start)
		decline("no memory at %x for the restorer: %e", start, got < 0 ? got : (long)-EEXIST);
	return (void *)start;
}

/* argv and environment lie on the stack that the kernel made; copy them out of the way. */
static char **copy_texts(char **texts, uint8_t **free_at)
{
	size_t count = 0;
	char **copies;

	while (texts[count])
		count++;
	copies = (char **)*free_at;
	*free_at += (count + 1) * sizeof(char *);
	for (size_t at = 0; at < count; at++) {
		size_t size = text_length(texts[at]) + 1;

		copies[at] = (char *)*free_at;
		__builtin_memcpy(copies[at], texts[at], size);
		*free_at += size;
	}
	copies[count] = NULL;
	*free_at = (uint8_t *)(((uintptr_t)*free_at + 7) & ~7UL);
	return copies;
}

static uint64_t size_of_texts(char **texts)
{
	uint64_t size = 2 * sizeof(char *);

	for (; *texts; texts++)
		size += text_length(*texts) + 1 + sizeof(char *);
	return size;
}

/* Runs in the copy, on the copy's stack. */
__attribute__((noinline, noreturn)) static void arrive(void (*then)(void))
{
	long result = SYS(arch_prctl, ARCH_SET_FS, thread_area);

	if (result < 0)
		decline("arch_prctl: %e", result);
	then();
	__builtin_unreachable();
}

_Noreturn void relocate(uint64_t area, void (*then)(void))
{
	uint64_t size = PAGE_UP((uint64_t)(image_end - image_start));
	uint64_t code = (uint64_t)(image_data - image_start);
	uint64_t texts = size_of_texts(thaw.fallback) + size_of_texts(thaw.environ);
	uint64_t shift;
	uint8_t *vault;
	long result;

	if (texts > AREA_STACK - AREA_VAULT)
		decline("the environment has %u bytes", texts);
	claim(area + AREA_IMAGE, size);
	vault = claim(area + AREA_VAULT, PAGE_UP(texts));
	claim(area + AREA_STACK, STACK_SIZE);
	thaw.area = area;
	thaw.fallback = copy_texts(thaw.fallback, &vault);
	thaw.environ = copy_texts(thaw.environ, &vault);
	__builtin_memcpy((void *)area, image_start, (size_t)(image_end - image_start));
	result = SYS(mprotect, area, code, PROT_READ | PROT_EXEC);
	if (result < 0)
		decline("no executable memory: %e", result);
	shift = area - (uint64_t)image_start;
	__asm__ volatile("mov %0, %%rsp\n\t"
			 "xor %%ebp, %%ebp\n\t"
			 "call *%1\n\t"
			 "hlt"
			 :
			 : "r"(area + AREA_STACK + STACK_SIZE - 64), "r"((uint64_t)arrive + shift),
			   "D"((uint64_t)then + shift)
			 : "memory");
	__builtin_unreachable();
}
