/*
 * XXH32 with seed 0, the checksum of LZ4's frame format (xxhash specification, "XXH32").
 * liblz4 has one inside but does not export it, and its object file is 57 KB.
 */
#include "thaw.h"

#define PRIME1 2654435761U
#define PRIME2 2246822519U
#define PRIME3 3266489917U
#define PRIME4 668265263U
#define PRIME5 374761393U

static inline uint32_t rotate(uint32_t value, int bits)
{
	return value << bits | value >> (32 - bits);
}

static inline uint32_t word(const uint8_t *at)
{
	uint32_t value;

	__builtin_memcpy(&value, at, sizeof(value));
	return value;
}

static inline uint32_t mix(uint32_t lane, const uint8_t *at)
{
	return rotate(lane + word(at) * PRIME2, 13) * PRIME1;
}

uint32_t xxh32(const void *data, size_t size)
{
	const uint8_t *at = data, *end = at + size;
	uint32_t hash = PRIME5;

	if (size >= 16) {
		uint32_t a = PRIME1 + PRIME2, b = PRIME2, c = 0, d = 0 - PRIME1;

		for (; end - at >= 16; at += 16) {
			a = mix(a, at);
			b = mix(b, at + 4);
			c = mix(c, at + 8);
			d = mix(d, at + 12);
		}
		hash = rotate(a, 1) + rotate(b, 7) + rotate(c, 12) + rotate(d, 18);
	}
	hash += (uint32_t)size;
	for (; end - at >= 4; at += 4)
		hash = rotate(hash + word(at) * PRIME3, 17) * PRIME4;
	for (; at < end; at++)
		hash = rotate(hash + *at * PRIME5, 11) * PRIME1;
	hash = (hash ^ hash >> 15) * PRIME2;
	hash = (hash ^ hash >> 13) * PRIME3;
	return hash ^ hash >> 16;
}
