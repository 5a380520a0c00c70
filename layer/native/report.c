/*
 * The log line of a cold start that no Python comes to write: quickthaw/runtime/report.py in C.
 *
 * The same members as there, the metric of a fallback included.  The words that
 * a reason becomes are quickthaw/runtime/metrics.py's own table, see reasons.py.
 */
#include "thaw.h"

#define LINE_ROOM 1536
#define TEXT_ROOM 512

/* "part\0word\0", again and again: an array of pointers could not be moved, see relocate.c. */
static const char words[] =
#include "reasons.inc"
	;

static char lower(char letter)
{
	return letter >= 'A' && letter <= 'Z' ? (char)(letter + 'a' - 'A') : letter;
}

static bool contains(const char *text, const char *part)
{
	for (; *text; text++) {
		size_t at = 0;

		while (part[at] && lower(text[at]) == part[at])
			at++;
		if (!part[at])
			return true;
	}
	return false;
}

static const char *word_of(const char *reason)
{
	for (const char *part = words; *part;) {
		const char *word = part + text_length(part) + 1;

		if (contains(reason, part))
			return word;
		part = word + text_length(word) + 1;
	}
	return "other";
}

/* What needs an escape in JSON becomes a full stop. */
static void make_plain(char *out, const char *text)
{
	size_t at = 0;

	for (; text[at] && at + 1 < TEXT_ROOM; at++)
		out[at] = text[at] < ' ' || text[at] == '"' || text[at] == '\\' ? '.' : text[at];
	out[at] = 0;
}

void report_cold(const char *reason, const char *function, bool wanted)
{
	char line[LINE_ROOM], plain[TEXT_ROOM], name[TEXT_ROOM], lost[32], thousandths[32];
	unsigned long micro = (sys_now_ns() - thaw.started_ns) / 1000;
	struct sys_timespec now;
	size_t used;

	make_plain(plain, reason);
	format_to(thousandths, sizeof(thousandths), "%u", 1000 + micro % 1000);
	format_to(lost, sizeof(lost), "%u", 1000000 + micro % 1000000); /* six digits behind a 1 */
	used = format_to(line, sizeof(line),
			 "{\"quickthaw\":1,\"engine\":\"cold\",\"mode\":null,\"reason\":\"%s\",\"snapshot\":null,"
			 "\"lost_s\":%u.%s",
			 plain, micro / 1000000, lost + 1);
	if (function && !wanted) {
		make_plain(name, function);
		SYS(clock_gettime, CLOCK_REALTIME, &now);
		used += format_to(line + used, sizeof(line) - used,
				  ",\"_aws\":{\"Timestamp\":%u,\"CloudWatchMetrics\":[{\"Namespace\":\"Quickthaw\","
				  "\"Dimensions\":[[\"FunctionName\"],[\"FunctionName\",\"Engine\",\"Reason\"]],"
				  "\"Metrics\":[{\"Name\":\"Fallback\",\"Unit\":\"Count\"},"
				  "{\"Name\":\"LostDuration\",\"Unit\":\"Milliseconds\"}]}]},\"FunctionName\":\"%s\","
				  "\"Engine\":\"cold\",\"Reason\":\"%s\",\"Fallback\":1,"
				  "\"LostDuration\":%u.%s",
				  (unsigned long)now.seconds * 1000 + (unsigned long)now.nanoseconds / 1000000, name,
				  word_of(reason), micro / 1000, thousandths + 1);
	}
	used += format_to(line + used, sizeof(line) - used, "}\n");
	SYS(write, STDERR, line, used);
}
