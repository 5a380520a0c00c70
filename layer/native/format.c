/* Messages: a printf of five conversions into a fixed buffer; what does not fit is cut off. */
#include <stdarg.h>

#include "thaw.h"

struct writer {
	char *out;
	size_t room, used;
};

static void put(struct writer *writer, char letter)
{
	if (writer->used + 1 < writer->room)
		writer->out[writer->used++] = letter;
}

static void put_text(struct writer *writer, const char *text)
{
	while (*text)
		put(writer, *text++);
}

static void put_number(struct writer *writer, unsigned long value, unsigned int base)
{
	char digits[24];
	int count = 0;

	do {
		unsigned int digit = (unsigned int)(value % base);

		digits[count++] = (char)(digit < 10 ? '0' + digit : 'a' + digit - 10);
		value /= base;
	} while (value);
	while (count)
		put(writer, digits[--count]);
}

/* The common ones by name; others by number, as errno(3) lists them. */
static void put_error(struct writer *writer, long result)
{
	switch (-result) {
	case EPERM: put_text(writer, "not permitted"); break;
	case ENOENT: put_text(writer, "no such file"); break;
	case ENOMEM: put_text(writer, "out of memory"); break;
	case EACCES: put_text(writer, "permission denied"); break;
	case EMFILE: put_text(writer, "too many open files"); break;
	case EEXIST: put_text(writer, "the place is taken"); break;
	case ENOSPC: put_text(writer, "no space left"); break;
	case ENOSYS: put_text(writer, "not in this kernel"); break;
	default:
		put_text(writer, "errno ");
		put_number(writer, (unsigned long)-result, 10);
	}
}

size_t format(char *out, size_t room, const char *pattern, va_list arguments)
{
	struct writer writer = { .out = out, .room = room };

	for (; *pattern; pattern++) {
		if (*pattern != '%') {
			put(&writer, *pattern);
			continue;
		}
		switch (*++pattern) {
		case 's': put_text(&writer, va_arg(arguments, const char *)); break;
		case 'd': {
			long value = va_arg(arguments, long);

			if (value < 0)
				put(&writer, '-');
			put_number(&writer, value < 0 ? 0UL - (unsigned long)value : (unsigned long)value, 10);
			break;
		}
		case 'u': put_number(&writer, va_arg(arguments, unsigned long), 10); break;
		case 'x': put_number(&writer, va_arg(arguments, unsigned long), 16); break;
		case 'e': put_error(&writer, va_arg(arguments, long)); break;
		default: put(&writer, *pattern);
		}
	}
	out[writer.used] = 0;
	return writer.used;
}

size_t format_to(char *out, size_t room, const char *pattern, ...)
{
	va_list arguments;
	size_t used;

	va_start(arguments, pattern);
	used = format(out, room, pattern, arguments);
	va_end(arguments);
	return used;
}

/* Digits, and the comma behind them; `text` moves on. */
uint64_t number_at(const char **text)
{
	uint64_t value = 0;

	for (; **text >= '0' && **text <= '9'; (*text)++)
		value = value * 10 + (uint64_t)(**text - '0');
	if (**text == ',')
		(*text)++;
	return value;
}
