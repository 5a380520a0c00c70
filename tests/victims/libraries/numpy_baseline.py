"""What NumPy chose for this processor at import: nothing that the processor of a thaw may lack."""

import os
from typing import Any

import numpy as np
from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__  # type: ignore[attr-defined]

SAME = ("beyond", "product")

BASELINE = {"X86_V2", "X86_V3", "SSE41", "POPCNT", "SSE42", "AVX", "F16C", "FMA3", "AVX2"}
AT_CHECKPOINT = "NPY_DISABLE_CPU_FEATURES" in os.environ
BEYOND = [name for name in __cpu_dispatch__ if __cpu_features__[name] and name not in BASELINE]


def handler(event: Any, context: Any) -> dict[str, Any]:
    return {"beyond": BEYOND if AT_CHECKPOINT else [], "product": float(np.arange(9.0) @ np.arange(9.0))}
