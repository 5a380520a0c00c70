/*
 * What to thaw, and what to start instead.
 *
 * Two ways in: `thaw SNAPSHOT COMMAND...` tries SNAPSHOT and else starts
 * COMMAND.  Under any other name the program is Lambda's exec wrapper, called
 * with the runtime's own command line: the snapshot is QUICKTHAW_SNAPSHOT, and
 * what it starts instead is the Python bootstrap, under the interpreter that
 * the command line names, or that command line itself where there is none.
 * (A shell script in between would cost a shell, and shells set variables.)
 * A snapshot in S3 is the bootstrap's first: it comes back here with the plan,
 * see fetched.c.
 *
 * Without a command line it is /opt/bootstrap of an OS-only runtime
 * (provided.al2023), which brings its own Python: QUICKTHAW_PYTHON, else
 * bin/python3 of the function, else python3 of PATH, where layers are, too.
 */
#include "thaw.h"

#define DEFAULT_SNAPSHOT "/opt/snapshot"
#define BOOT "python/quickthaw/runtime/boot.py"
#define START "criu/start"
#define BIN "bin/"
#define IN_S3 "s3://"
#define MOST_WORDS 128

static char boot_path[512], start_path[512];
static char *second[MOST_WORDS];

static const char *value_of(const char *entry, const char *name)
{
	while (*name && *entry == *name)
		entry++, name++;
	return !*name && *entry == '=' ? entry + 1 : NULL;
}

static bool word_is(const char *word, const char *name)
{
	while (*name && *word == *name)
		word++, name++;
	return !*name && (*word == ',' || *word == 0);
}

static const struct {
	char word[11];
	uint8_t place; /* of a bool */
} switches[] = {
	{ "learn", offsetof(struct options, learn) },
	{ "hold", offsetof(struct options, hold) },
	{ "proxy", offsetof(struct options, proxy) },
	{ "park", offsetof(struct options, park) },
	{ "nopopulate", offsetof(struct options, no_populate) },
	{ "nohuge", offsetof(struct options, no_huge) },
	{ "nommmap", offsetof(struct options, no_mm_map) },
	{ "cached", offsetof(struct options, cached) },
	{ "copied", offsetof(struct options, copied) },
};

static void read_switches(const char *words)
{
	while (*words) {
		for (size_t at = 0; at < sizeof(switches) / sizeof(switches[0]); at++)
			if (word_is(words, switches[at].word))
				((bool *)&thaw.options)[switches[at].place] = true;
		if (*words >= '1' && *words <= '9')
			thaw.options.workers = (uint32_t)(*words - '0');
		while (*words && *words != ',')
			words++;
		words += *words == ',';
	}
}

static const char *base_name(const char *path)
{
	const char *base = path;

	for (; *path; path++)
		if (*path == '/')
			base = path + 1;
	return base;
}

/* A descriptor number; -1 when it is none, or one of the standard streams. */
static int number_of(const char *text)
{
	int value = 0;

	for (; *text; text++) {
		if (*text < '0' || *text > '9' || value > 0xffff)
			return -1;
		value = value * 10 + *text - '0';
	}
	return value > 2 ? value : -1;
}

/* Seconds with an optional fraction, as nanoseconds; 0 when it is none, or more than WATCHDOG_MOST_S. */
static uint64_t seconds_of(const char *text)
{
	uint64_t value = 0, unit = 1000000000UL;

	if (!*text || (*text == '.' && !text[1]))
		return 0;
	for (; *text >= '0' && *text <= '9' && value <= WATCHDOG_MOST_S * unit; text++)
		value = value * 10 + (uint64_t)(*text - '0') * unit;
	if (*text == '.')
		for (text++; *text >= '0' && *text <= '9'; text++)
			value += (uint64_t)(*text - '0') * (unit /= 10);
	return *text || value > WATCHDOG_MOST_S * 1000000000UL ? 0 : value;
}

/* Reads and removes what start_again() added, always the last entry. */
static void take_tries(char **environ)
{
	const char *value;
	size_t count = 0;

	while (environ[count])
		count++;
	if (!count || !(value = value_of(environ[count - 1], TRY_VARIABLE)))
		return;
	environ[count - 1] = NULL;
	thaw.tries = (uint32_t)number_at(&value);
}

/* [START] PYTHON -I -S BOOT COMMAND...; false where COMMAND is not Python's or there is no BOOT beside us. */
static bool use_bootstrap(int argc, char **argv, size_t directory)
{
	size_t bin = sizeof(BIN) - 1;
	int at = 0;

	if (directory >= bin && begins_with(argv[0] + directory - bin, BIN))
		directory -= bin;
	if (directory + sizeof(BOOT) > sizeof(boot_path) || argc + 5 > MOST_WORDS)
		return false;
	__builtin_memcpy(boot_path, argv[0], directory);
	__builtin_memcpy(boot_path + directory, BOOT, sizeof(BOOT));
	if (!begins_with(base_name(argv[1]), "python3") || SYS(access, boot_path, 4 /* R_OK */) != 0)
		return false;
	__builtin_memcpy(start_path, argv[0], directory);
	__builtin_memcpy(start_path + directory, START, sizeof(START));
	if (thaw.criu && SYS(access, start_path, 1 /* X_OK */) == 0)
		second[at++] = start_path;
	second[at++] = argv[1];
	second[at++] = "-I";
	second[at++] = "-S";
	second[at++] = boot_path;
	thaw.bootstrap_words = (uint32_t)at;
	for (int word = 1; word < argc; word++)
		second[at++] = argv[word];
	second[at] = NULL;
	thaw.fallback = second;
	return true;
}

/* The command line that a managed runtime would have called us with: PYTHON -m awslambdaric HANDLER. */
static int make_command(char *self, char **environ, char ***argv)
{
	static char *command[6], found[512];
	const char *python = NULL, *handler = NULL, *root = "/var/task", *value;
	int words = 0;

	for (char **entry = environ; *entry; entry++) {
		if ((value = value_of(*entry, "QUICKTHAW_PYTHON")) && *value)
			python = value;
		else if ((value = value_of(*entry, "_HANDLER")))
			handler = value;
		else if ((value = value_of(*entry, "LAMBDA_TASK_ROOT")) && *value)
			root = value;
	}
	if (!handler) {
		static const char usage[] = "usage: bootstrap COMMAND..., or _HANDLER in the environment\n";

		SYS(write, STDERR, usage, sizeof(usage) - 1);
		SYS(exit_group, 2);
	}
	if (!python) {
		format_to(found, sizeof(found), "%s/bin/python3", root);
		python = SYS(access, found, 1 /* X_OK */) == 0 ? found : "python3";
	}
	command[words++] = self;
	command[words++] = (char *)python;
	command[words++] = "-m";
	command[words++] = "awslambdaric";
	command[words++] = (char *)handler;
	*argv = command;
	return words;
}

/* CAP_CHECKPOINT_RESTORE or CAP_SYS_ADMIN, as quickthaw/runtime/checks.py. */
static bool criu_permitted(void)
{
	struct {
		uint32_t version;
		int pid;
	} header = { 0x20080522 /* _LINUX_CAPABILITY_VERSION_3 */, 0 };
	struct {
		uint32_t effective, permitted, inheritable;
	} data[2] = { 0 };

	if (SYS(capget, &header, data) < 0)
		return true; /* unknown: the bootstrap will see */
	return data[0].effective >> 21 & 1 || data[1].effective >> 8 & 1;
}

/* True when a thaw is wanted; otherwise thaw.fallback is to be started without a reason. */
bool options_read(int argc, char **argv, char **environ)
{
	const char *engine = "auto", *name = base_name(argv[0]), *watchdog = NULL, *value;
	bool declined = false, several = false;

	thaw.environ = environ;
	thaw.arguments = argv;
	thaw.snapshot = DEFAULT_SNAPSHOT;
	thaw.telemetry_fd = -1;
	take_tries(environ);
	fetched_take(environ);
	for (char **entry = environ; *entry; entry++) {
		if ((value = value_of(*entry, "QUICKTHAW_ENGINE")) && *value)
			engine = value;
		else if ((value = value_of(*entry, "QUICKTHAW_SNAPSHOT")) && *value)
			thaw.snapshot = value;
		else if ((value = value_of(*entry, "QUICKTHAW_NATIVE")))
			read_switches(value);
		else if ((value = value_of(*entry, "_LAMBDA_TELEMETRY_LOG_FD")))
			thaw.telemetry_fd = number_of(value);
		else if ((value = value_of(*entry, "QUICKTHAW_WATCHDOG")) && *value)
			watchdog = value;
		else if (value_of(*entry, "QUICKTHAW_DECLINED"))
			declined = true;
		else if (value_of(*entry, "AWS_LAMBDA_MAX_CONCURRENCY"))
			several = true;
	}
	thaw.criu = !text_equal(engine, "native") && criu_permitted();
	if (text_equal(name, "thaw")) {
		if (argc < 3) {
			static const char usage[] = "usage: thaw SNAPSHOT COMMAND...\n";

			SYS(write, STDERR, usage, sizeof(usage) - 1);
			SYS(exit_group, 2);
		}
		thaw.snapshot = argv[1];
		thaw.fallback = argv + 2;
	} else {
		if (argc < 2)
			argc = make_command(argv[0], environ, &argv);
		thaw.fallback = argv + 1;
		if ((thaw.off = text_equal(engine, "off")))
			thaw.alone = "engine off";
		else if (!use_bootstrap(argc, argv, (size_t)(name - argv[0])))
			thaw.alone = "no Python bootstrap beside the restorer";
	}
	if (declined) /* we have been here before */
		return false;
	if (several)
		decline("AWS_LAMBDA_MAX_CONCURRENCY wants several processes; a snapshot is one");
	if (begins_with(thaw.snapshot, IN_S3) && !thaw.fetched.pipe_fd)
		return false;
	if (!text_equal(engine, "auto") && !text_equal(engine, "native"))
		return false;
	if (watchdog && !(thaw.watchdog_ns = seconds_of(watchdog)))
		decline("QUICKTHAW_WATCHDOG=%s is no number of seconds up to %u", watchdog, WATCHDOG_MOST_S);
	return true;
}
