"""The CRIU bundle: a recent CRIU with its own C library, runnable from any directory of any Linux.

Place in the flow: a build step. ``python3 -m bundle OUT`` puts ``criu/`` and ``lib/`` into OUT,
which is the built layer, so that they lie under ``/opt`` on Lambda. Standard library and Debian's
apt and dpkg only, because SAM runs it in a bare copy of ``layer/``.

    lock        which packages were tested: name, suite, version, size, SHA-256
    mirror      where this machine gets Debian packages from, and whom it trusts
    packages    the locked packages, out of the cache or through a private apt
    assemble    packages -> relocatable tree, with licences

What is trusted: apt's signature chain decides what is genuine, the lock says what was tested.

Rejected: *patchelf* with ``--set-interpreter``: the path of an ELF interpreter is absolute, so the
same tree could not run both in ``build/layer`` and in ``/opt``, and one more tool would be needed.
*Building from source*: minutes instead of seconds, and a dozen -dev packages. *Debian bookworm's
CRIU 3.17.1*, which Amazon Linux has too: it cannot read the vdso of current kernels.
"""
