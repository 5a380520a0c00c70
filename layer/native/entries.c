/*
 * What the import left in /tmp is there again.  Lambda's /tmp is empty at an
 * init; after a reset it may hold the files of the process before, which are
 * overwritten.  A decline takes away what was made here, so that the cold
 * start finds /tmp as we did.
 */
#include "thaw.h"

#define S_IFIFO 0010000
#define AT_REMOVEDIR 0x200
#define AT_SYMLINK_NOFOLLOW 0x100

static uint32_t made; /* rows done so far */

static void write_file(const struct plan_entry *entry, const char *path)
{
	const uint8_t *data = PIECE(entry->data);
	uint64_t left = entry->data.size;
	long fd = SYS(open, path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

	if (fd < 0)
		decline("cannot write %s: %e", path, fd);
	while (left) {
		long put = SYS(write, fd, data, left);

		if (put <= 0)
			decline("cannot write %s: %e", path, put);
		data += put;
		left -= (uint64_t)put;
	}
	SYS(fchmod, fd, entry->mode);
	SYS(close, fd);
}

static void set_time(const struct plan_entry *entry)
{
	struct sys_timespec times[2] = {
		{ entry->mtime_ns / 1000000000L, entry->mtime_ns % 1000000000L },
		{ entry->mtime_ns / 1000000000L, entry->mtime_ns % 1000000000L },
	};

	SYS(utimensat, AT_FDCWD, PIECE(entry->path), times, AT_SYMLINK_NOFOLLOW);
}

static void make(const struct plan_entry *entry)
{
	const char *path = PIECE(entry->path);
	long result = 0;

	if (entry->kind == ENTRY_DIRECTORY)
		result = SYS(mkdir, path, 0700); /* its own mode may keep us out: see finish() */
	else if (entry->kind == ENTRY_SAME) {
		SYS(unlinkat, AT_FDCWD, path, 0); /* of the process before */
		result = SYS(linkat, AT_FDCWD, PIECE(entry->data), AT_FDCWD, path, 0);
	}
	else if (entry->kind == ENTRY_FIFO)
		result = SYS(mknodat, AT_FDCWD, path, S_IFIFO | entry->mode, 0);
	else if (entry->kind == ENTRY_LINK)
		result = SYS(symlink, PIECE(entry->data), path);
	else
		write_file(entry, path);
	if (result < 0 && result != -EEXIST)
		decline("cannot make %s: %e", path, result);
	if (entry->kind == ENTRY_FIFO)
		SYS(fchmodat, AT_FDCWD, path, entry->mode); /* mknod heeds the umask */
	set_time(entry);
}

/* Modes and times of directories, when everything is in them; the deepest first. */
static void finish(const struct plan_entry *entries)
{
	for (uint32_t at = COUNT(TABLE_ENTRIES); at-- > 0;)
		if (entries[at].kind == ENTRY_DIRECTORY) {
			SYS(fchmodat, AT_FDCWD, PIECE(entries[at].path), entries[at].mode);
			set_time(&entries[at]);
		}
}

void entries_make(void)
{
	const struct plan_entry *entries = ROWS(plan_entry, TABLE_ENTRIES);

	for (uint32_t at = 0; at < COUNT(TABLE_ENTRIES); at++) {
		made = at + 1;
		make(&entries[at]);
	}
	finish(entries);
}

/* Deepest last in the table, so first here; a directory that holds something else stays. */
void entries_remove(void)
{
	const struct plan_entry *entries;

	if (!made)
		return;
	entries = ROWS(plan_entry, TABLE_ENTRIES);
	for (uint32_t at = 0; at < made; at++)
		if (entries[at].kind == ENTRY_DIRECTORY)
			SYS(fchmodat, AT_FDCWD, PIECE(entries[at].path), 0700);
	while (made) {
		const struct plan_entry *entry = &entries[--made];

		SYS(unlinkat, AT_FDCWD, PIECE(entry->path), entry->kind == ENTRY_DIRECTORY ? AT_REMOVEDIR : 0);
	}
}
