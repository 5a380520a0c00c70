"""The kinds of things that a snapshot cannot give back, and which of them a user may take upon themselves.

`--allow KIND` never means "freeze it all the same": no engine could thaw
that.  It means "give it up": what stands in its place is something that both
engines can make again, put there by the function's own process right before
the dump (`quickthaw.runtime.relinquish`), so that whoever uses it meets a
plain, documented error and not a descriptor of somebody else.  Kinds for
which nothing can stand in cannot be allowed, and say so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from quickthaw.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Kind:
    """One kind.

    Attributes:
        name: as `--allow` takes it.
        what: in words, plural.
        instead: what one takes upon oneself; None where it cannot be allowed.
        why_not: why it cannot be allowed.
    """

    name: str
    what: str
    instead: str | None = None
    why_not: str = ""


KINDS: Final = {
    kind.name: kind
    for kind in (
        Kind(
            name="connections",
            what="connected sockets",
            instead="after a thaw it is a connection that the other side has closed (what is no stream: an "
            "unconnected socket), and its owner must open another",
        ),
        Kind(
            name="listeners",
            what="listening sockets, bound ones of TCP, and Unix sockets with a name",
            instead="a socket that nobody can reach takes its place, and accept() fails",
        ),
        Kind(
            name="children",
            what="child processes, ended ones that nobody waited for, and what they left behind",
            instead="they are killed and waited for: a Popen of theirs has ended, with a status that "
            "nobody knows",
        ),
        Kind(
            name="pipes",
            what="pipes to other processes",
            instead="/dev/null takes its place: reading finds the end, what is written is gone",
        ),
        Kind(
            name="watches",
            what="inotify and fanotify descriptors",
            instead="a descriptor that never becomes readable takes its place: no event comes any more",
        ),
        Kind(
            name="devices",
            what="terminals and devices",
            instead="/dev/null takes its place",
        ),
        Kind(
            name="ipc",
            what="System V segments, semaphores and queues, and POSIX queues, by their ids",
            instead="the id is of nothing after a thaw (EINVAL)",
        ),
        Kind(
            name="tmp",
            what="open files in /tmp, where there is no native plan",
            instead="the criu engine thaws where the same files lie in /tmp; elsewhere it is a cold start",
        ),
        Kind(
            name="databases",
            what="SQLite databases in /tmp that are open",
            instead='it can be read; writing says "attempt to write a readonly database": connect again',
        ),
        Kind(
            name="mappings",
            what="memory that belongs to somebody else: System V segments, files of /tmp (without a native "
            "plan any, else those that are mapped to be written to), rings, huge or secret pages",
            why_not="the function has addresses in it, and nothing can be put there",
        ),
        Kind(
            name="kernel-objects",
            what="io_uring, userfaultfd, pidfd, perf and what else only the kernel knows",
            why_not="nothing behaves like it without being it",
        ),
        Kind(
            name="streams",
            what="standard output or standard error that goes elsewhere or is closed",
            why_not="a thawed process has the streams of its new environment",
        ),
        Kind(
            name="filters",
            what="filters over the function's own system calls (seccomp)",
            why_not="the native engine would come back without it, and CRIU may not put one on",
        ),
        Kind(
            name="randomness",
            what="copies of OpenSSL that are linked into a library, where there is no native plan",
            why_not="every thaw would draw the same random numbers; the native engine gives it another pid, "
            "by which OpenSSL notices",
        ),
        Kind(
            name="tracing",
            what="threads that a debugger holds",
            why_not="CRIU cannot stop them",
        ),
        Kind(
            name="mutexes",
            what="recursive, error-checking and robust mutexes of C code that are held",
            why_not="they record the kernel's number of the thread, and a native thaw gives it another; "
            "the criu engine (--layout none) gives it the same",
        ),
    )
}


def allowed(settings: Iterable[str]) -> frozenset[str]:
    """The kinds of `--allow KIND[,KIND]`.

    Raises:
        UsageError: there is no such kind, or it cannot be allowed.
    """
    found = set()
    for name in (name.strip() for setting in settings for name in setting.split(",")):
        kind = KINDS.get(name)
        if kind is None:
            possible = ", ".join(kind.name for kind in KINDS.values() if kind.instead)
            raise UsageError(f"--allow {name}: there is no such kind", hint=f"Kinds are {possible}.")
        if kind.instead is None:
            raise UsageError(f"--allow {name}: {kind.what} cannot be allowed: {kind.why_not}")
        found.add(name)
    return frozenset(found)
