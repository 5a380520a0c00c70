/*
 * criu/criu: starts criu.bin with the C library that lies beside it, wherever that is.
 *
 * An ELF interpreter's path is absolute, so a program that brings its own C library either lies at
 * one fixed place or is started through its loader. This is that start, as a program: 2 KB, no
 * libc, one execve and 0.2 ms. A shell script would cost several times that and need a shell.
 *
 * Becomes:  DIR/lib/ld-linux-x86-64.so.2 --inhibit-cache --library-path DIR/lib --argv0 ARGV0
 *           DIR/criu.bin ARGS...
 *
 * `criu dump` gets --preload DIR/lib/sockopt.so as well, see sockopt.c.
 *
 * LD_PRELOAD, LD_AUDIT and LD_LIBRARY_PATH are dropped: they are meant for the function, whose C
 * library is another one.
 */
typedef unsigned long word;

enum { SYS_write = 1, SYS_execve = 59, SYS_exit = 60, SYS_readlink = 89 };
enum { AT_NULL = 0, AT_EXECFN = 31 };
enum { MAX_PATH = 4096, MAX_ARGS = 256, OWN_ARGS = 9 };

static char dir[MAX_PATH], loader[MAX_PATH + 64], libs[MAX_PATH + 64], program[MAX_PATH + 64], shim[MAX_PATH + 64];
static const char *args[MAX_ARGS + OWN_ARGS + 1];

static long call3(long number, word a, word b, word c)
{
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static word length(const char *s)
{
	word n = 0;
	while (s[n])
		n++;
	return n;
}

static _Noreturn void die(const char *what, const char *path)
{
	call3(SYS_write, 2, (word)"criu launcher: ", 15);
	call3(SYS_write, 2, (word)what, length(what));
	call3(SYS_write, 2, (word)path, length(path));
	call3(SYS_write, 2, (word)"\n", 1);
	for (;;)
		call3(SYS_exit, 127, 0, 0);
}

static void join(char *to, const char *name)
{
	word n = 0;
	for (; dir[n]; n++)
		to[n] = dir[n];
	do
		to[n++] = *name;
	while (*name++);
}

static int starts_with(const char *s, const char *prefix)
{
	while (*prefix)
		if (*s++ != *prefix++)
			return 0;
	return 1;
}

/* /proc/self/exe resolves symlinks; where no /proc is mounted, the path of the execve must do. */
static void find_dir(const word *aux)
{
	long n = call3(SYS_readlink, (word)"/proc/self/exe", (word)dir, MAX_PATH - 1);
	if (n <= 0) {
		const char *path = "";
		for (; aux[0] != AT_NULL; aux += 2)
			if (aux[0] == AT_EXECFN)
				path = (const char *)aux[1];
		n = (long)length(path);
		if (n >= MAX_PATH)
			die("path too long: ", path);
		for (long i = 0; i < n; i++)
			dir[i] = path[i];
	}
	while (n > 0 && dir[n - 1] != '/')
		n--;
	if (n == 0) {
		dir[n++] = '.';
		dir[n++] = '/';
	}
	dir[n] = 0;
}

__attribute__((used)) _Noreturn void launch(word *stack)
{
	long argc = (long)stack[0];
	const char **argv = (const char **)(stack + 1), **envp = argv + argc + 1, **kept = envp;
	const char **env = envp;
	int n = 0;

	if (argc < 1 || argc > MAX_ARGS)
		die("too many arguments, or none", "");
	while (*env)
		env++;
	find_dir((const word *)(env + 1));
	for (env = envp; *env; env++)
		if (!starts_with(*env, "LD_PRELOAD=") && !starts_with(*env, "LD_AUDIT=") &&
		    !starts_with(*env, "LD_LIBRARY_PATH="))
			*kept++ = *env;
	*kept = 0;

	join(loader, "lib/ld-linux-x86-64.so.2");
	join(libs, "lib");
	join(program, "criu.bin");
	args[n++] = loader;
	args[n++] = "--inhibit-cache";
	args[n++] = "--library-path";
	args[n++] = libs;
	if (argc > 1 && starts_with(argv[1], "dump")) {
		join(shim, "lib/sockopt.so");
		args[n++] = "--preload";
		args[n++] = shim;
	}
	args[n++] = "--argv0";
	args[n++] = argv[0];
	args[n++] = program;
	for (long i = 1; i < argc; i++)
		args[n++] = argv[i];
	call3(SYS_execve, (word)loader, (word)args, (word)envp);
	die("cannot execute ", loader);
}

__asm__(".globl _start\n_start: xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call launch\n");
