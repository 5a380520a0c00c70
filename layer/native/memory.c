/* What the compiler and liblz4 expect of a C library, and no more. */
#include "thaw.h"

void *memcpy(void *restrict target, const void *restrict source, size_t size)
{
	void *to = target;

	__asm__ volatile("rep movsb" : "+D"(to), "+S"(source), "+c"(size) : : "memory");
	return target;
}

void *memset(void *target, int value, size_t size)
{
	void *to = target;

	__asm__ volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
	return target;
}

void *memmove(void *target, const void *source, size_t size)
{
	uint8_t *to = target;
	const uint8_t *from = source;

	if (to <= from || to >= from + size)
		return memcpy(target, source, size);
	while (size--)
		to[size] = from[size];
	return target;
}

int memcmp(const void *a, const void *b, size_t size)
{
	const uint8_t *x = a, *y = b;

	for (; size; size--, x++, y++)
		if (*x != *y)
			return *x - *y;
	return 0;
}

size_t text_length(const char *text)
{
	size_t length = 0;

	while (text[length])
		length++;
	return length;
}

bool text_equal(const char *a, const char *b)
{
	while (*a && *a == *b)
		a++, b++;
	return *a == *b;
}

bool begins_with(const char *text, const char *with)
{
	while (*with && *text == *with)
		text++, with++;
	return !*with;
}

/* liblz4.a is built with a stack protector: reached only if the decoder overran its frame. */
_Noreturn void __stack_chk_fail(void);
_Noreturn void __stack_chk_fail(void)
{
	decline("the LZ4 decoder damaged its stack");
}
