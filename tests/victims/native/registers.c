/* A thread that computes when it is frozen: its vector registers hold a pattern until it may go on. */
#include <stdint.h>

#define EACH_WIDE(X) \
	X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) \
	X(19) X(20) X(21) X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31)
#define EACH_HALF(X) X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)
#define EACH_MASK(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7)

#define SPIN \
	"movl $1, (%0)\n1:\n\t" \
	"pause\n\t" \
	"cmpl $0, 4(%0)\n\t" \
	"je 1b\n\t"
#define OPERANDS : : "r"(flags), "r"(in), "r"(out) : "memory", "cc"

/* flags[0]: "I am spinning", set here; flags[1]: "go on". in, out: 32 registers of 64 bytes, 8 masks of 8. */
void spin_wide(volatile uint32_t *flags, const uint8_t *in, uint8_t *out)
{
#define LOAD(n) "vmovdqu64 64*" #n "(%1), %%zmm" #n "\n\t"
#define STORE(n) "vmovdqu64 %%zmm" #n ", 64*" #n "(%2)\n\t"
#define LOAD_MASK(n) "kmovw 2048+8*" #n "(%1), %%k" #n "\n\t"
#define STORE_MASK(n) "kmovw %%k" #n ", 2048+8*" #n "(%2)\n\t"
	__asm__ volatile(EACH_WIDE(LOAD) EACH_MASK(LOAD_MASK) SPIN EACH_WIDE(STORE) EACH_MASK(STORE_MASK) OPERANDS);
	__asm__ volatile("vzeroupper");
}

/* The same with the 16 registers of AVX, 32 bytes each, 64 apart. */
void spin_half(volatile uint32_t *flags, const uint8_t *in, uint8_t *out)
{
#define LOAD_HALF(n) "vmovdqu 64*" #n "(%1), %%ymm" #n "\n\t"
#define STORE_HALF(n) "vmovdqu %%ymm" #n ", 64*" #n "(%2)\n\t"
	__asm__ volatile(EACH_HALF(LOAD_HALF) SPIN EACH_HALF(STORE_HALF) OPERANDS);
	__asm__ volatile("vzeroupper");
}
