/*
 * Puts AVX-512 registers into a thread's signal frame.
 *
 * rt_sigreturn takes the standard form of XSAVE, in which each processor has
 * its own places for them (1088, 1152 and 1664 on Intel, 832, 896 and 1408 on
 * AMD); CPUID 0xD tells (Intel SDM volume 1, 13.4.3).
 */
#include "thaw.h"

#define SW_RESERVED 464 /* of the FXSAVE area: struct _fpx_sw_bytes, asm/sigcontext.h */
#define MAGIC2 0x46505845U
#define FIRST_COMPONENT 5 /* opmask; then the upper halves of ZMM0-15, and ZMM16-31 */
#define COMPONENTS 3

struct sw_bytes {
	uint32_t magic1;
	uint32_t extended_size; /* with MAGIC2 */
	uint64_t features;
	uint32_t size;
};

void vectors_place(uint8_t *state, const uint8_t *registers, uint32_t room)
{
	static const uint32_t sizes[COMPONENTS] = { 64, 512, 1024 };
	struct sw_bytes *sw = (struct sw_bytes *)(state + SW_RESERVED);

	for (uint32_t at = 0; at < COMPONENTS; at++) {
		uint32_t place = cpuid(0xd, FIRST_COMPONENT + at).ebx, end = place + sizes[at];

		if (place < sw->size || end > room - sizeof(MAGIC2))
			decline("this CPU keeps AVX-512 registers in an unknown place, %u", (unsigned long)place);
		__builtin_memcpy(state + place, registers, sizes[at]);
		registers += sizes[at];
		sw->size = end;
	}
	sw->extended_size = sw->size + sizeof(MAGIC2);
	*(uint32_t *)(state + sw->size) = MAGIC2;
}
