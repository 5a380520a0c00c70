"""What to freeze, and how the function is started for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from quickthaw import names
from quickthaw.emulator.run import FunctionSpec
from quickthaw.sandbox.spec import Bind, SandboxSpec
from quickthaw.secrets.wanted import Wanted

INNER_WORK = "/tmp/quickthaw-checkpoint"  # where CRIU finds the staging directory


@dataclass(frozen=True, kw_only=True)
class CheckpointOrder:
    """What to freeze and how.

    Attributes:
        task: the function's directory.
        handler: `module.function`.
        events: warm-up events, name and JSON text.
        out: the snapshot directory to make or replace.
        python: interpreter of the function, on this machine.
        runtime: site directory with awslambdaric for that interpreter.
        layer: the built layer.
        environ: what the function sees besides Lambda's own variables.
        level: LZ4 HC level; None leaves pages uncompressed.
        block_size: bytes of an LZ4 block.
        keep_uncompressed: keep pages-N.img beside the compressed file.
        layout: of the native engine's pages, one of `native.LAYOUTS`.
        budget: bytes that the native layout may take before `auto` becomes `lz4`; None for any.
        allow: kinds of things (`kinds.KINDS`) that may be given up for the snapshot.
        wanted: secrets to look for in what was frozen; None: nobody looks before `publish` does.
        import_timeout_s: seconds the function may take to reach the freeze point.
    """

    task: Path
    handler: str
    events: Sequence[tuple[str, str]]
    out: Path
    python: Path
    runtime: Path
    layer: Path
    environ: Mapping[str, str] = field(default_factory=dict)
    level: int | None = names.LZ4_LEVEL
    block_size: int = names.BLOCK_SIZE
    keep_uncompressed: bool = False
    layout: str = "auto"
    budget: int | None = None
    allow: frozenset[str] = frozenset()
    wanted: Wanted | None = None
    import_timeout_s: float = 300.0

    def function(self) -> FunctionSpec:
        """How the emulator starts it."""
        return FunctionSpec(
            task=self.task,
            handler=self.handler,
            python=self.python,
            runtime=self.runtime,
            layer=self.layer,
            env=self.environ,
        )

    def sandbox(self, images: Path) -> SandboxSpec:
        """Where it is frozen: as on Lambda, with a place for CRIU's images."""
        return SandboxSpec(
            python=self.python,
            task=self.task,
            layer=self.layer,
            snapshot=None,
            runtime=self.runtime,
            kind="freeze",
            binds=(Bind(images, INNER_WORK, writable=True),),
            pid_floor=names.MIN_PID,
        )
