"""Adds the records of one log up, by kind of start, in constant memory.

Place in the flow: between `scan` and `compare`; one ledger per side.

Beside the tallies it keeps what money needs (milliseconds times megabytes,
since one log may hold several memory sizes) under three readings of the same
record: as Lambda billed it, and as it would be billed with and without INIT.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import ceil

from ..runtime.metrics import OFF
from .scan import KINDS, Entry, Kind, Problem
from .tally import Tally

_REASONS = 200  # distinct fallback reasons kept; the rest are one
_MEMORIES = 1000


@dataclass
class Account:
    """What one kind of start adds up to.

    Attributes:
        n: records.
        billed: ... max_memory: tallies in ms and MB; a record that does not say adds nothing.
        priced: records that have both a bill and a memory size.
        mb_ms: billed ms times MB, summed; `mb_ms_with_init`, `mb_ms_without_init`: the same
            with the bill computed from the durations.
        mb: memory size summed over `priced`.
        init_on_bill, init_off_bill: records whose bill covers their init, or cannot.
        failed: records with a status other than success.
        rerun: starts whose first init failed and was run again inside the invocation.
        emulated: records that look like the runtime interface emulator's.
    """

    n: int = 0
    billed: Tally = field(default_factory=Tally)
    duration: Tally = field(default_factory=Tally)
    init: Tally = field(default_factory=Tally)
    restore: Tally = field(default_factory=Tally)
    billed_restore: Tally = field(default_factory=Tally)
    max_memory: Tally = field(default_factory=Tally)
    priced: int = 0
    mb_ms: float = 0.0
    mb_ms_with_init: float = 0.0
    mb_ms_without_init: float = 0.0
    mb: float = 0.0
    init_on_bill: int = 0
    init_off_bill: int = 0
    failed: int = 0
    rerun: int = 0
    emulated: int = 0
    memory: Counter[float] = field(default_factory=Counter)

    def merge(self, other: Account) -> None:
        """Adds another account to this one."""
        for name, value in vars(other).items():
            if isinstance(value, Tally):
                getattr(self, name).merge(value)
            elif isinstance(value, Counter):
                getattr(self, name).update(value)
            else:
                setattr(self, name, getattr(self, name) + value)


class Ledger:
    """One side of a comparison.

    Attributes:
        name: what the user called it: a path, `-`, a log group.
        accounts: per kind of start.
        engines: environments per engine, as the bootstrap's lines say.
        fallbacks: reasons of cold starts that should have been thaws, with their number.
        boot_times: seconds per item of the bootstrap's line, thawed starts only.
        lines, malformed, problems, functions: from the scanner.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.accounts: dict[Kind, Account] = {kind: Account() for kind in KINDS}
        self.engines: Counter[str] = Counter()
        self.fallbacks: Counter[str] = Counter()
        self.boot_times: dict[str, Tally] = {}
        self.lines = 0
        self.malformed = 0
        self.problems: list[Problem] = []
        self.functions: set[str] = set()

    @property
    def n(self) -> int:
        return sum(account.n for account in self.accounts.values())

    def account(self, kinds: Iterable[Kind]) -> Account:
        """The sum over some kinds."""
        total = Account()
        for kind in kinds:
            total.merge(self.accounts[kind])
        return total

    def add_many(self, kind: Kind, billed: float | None, memory: float | None, n: int) -> None:
        """Adds `n` records of which only bill and memory are known, as Logs Insights counts them."""
        account = self.accounts[kind]
        account.n += n
        if memory is not None:
            account.memory[memory] += n
        if billed is not None:
            account.billed.add_many(billed, n)
            if memory is not None:
                account.priced += n
                account.mb += memory * n
                account.mb_ms += memory * billed * n
                account.mb_ms_with_init += memory * billed * n
                account.mb_ms_without_init += memory * billed * n

    def add(self, entry: Entry) -> None:
        """Adds one record; this runs once per line of a log of millions."""
        report, kind, boot, rerun = entry
        account = self.accounts[kind]
        account.n += 1
        _, duration, billed, memory, used, init, restore, billed_restore, status, _, _ = report
        if billed is not None:
            account.billed.add(billed)
        if duration is not None:
            account.duration.add(duration)
        if init is not None:
            account.init.add(init)
        if used is not None:
            account.max_memory.add(used)
        if restore is not None:
            account.restore.add(restore)
        if billed_restore is not None:
            account.billed_restore.add(billed_restore)
        if memory is not None:
            if len(account.memory) < _MEMORIES or memory in account.memory:
                account.memory[memory] += 1
            if billed is not None:
                account.priced += 1
                account.mb += memory
                account.mb_ms += memory * billed
                if duration is None:
                    account.mb_ms_with_init += memory * billed
                    account.mb_ms_without_init += memory * billed
                elif init is None:
                    alone = memory * (ceil(duration) + (billed_restore or 0.0))
                    account.mb_ms_with_init += alone
                    account.mb_ms_without_init += alone
                else:
                    account.mb_ms_with_init += memory * ceil(duration + init)
                    account.mb_ms_without_init += memory * ceil(duration)
                    if init < 1.0:
                        # Lambda's own Python takes tens of ms to start; the emulator reports
                        # next to nothing and gives the memory size as the memory used
                        account.emulated += used == memory
                    elif billed >= duration + init - 0.01:
                        account.init_on_bill += 1
                    elif billed < duration + init - 1:
                        account.init_off_bill += 1
        if status is not None:
            account.failed += 1
        if rerun:
            account.rerun += 1
        if boot is not None:
            self.engines[boot.engine] += 1
            if boot.engine == "cold":
                if boot.reason == OFF:  # a wish, not a fallback
                    return
                reason = boot.reason or "no reason given"
                known = len(self.fallbacks) < _REASONS or reason in self.fallbacks
                self.fallbacks[reason if known else "other reasons"] += 1
            else:
                for name, value in boot.times.items():
                    self.boot_times.setdefault(name, Tally()).add(value)
