"""Arrow: memory pools with an allocator of their own, thread pools, a mapped file and a dataset in memory."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

SAME = ("sum", "grouped", "read", "written", "threads", "allocated")
CRIU_COLD = r"the randomness of the OpenSSL inside /var/task/pyarrow/\S+, whose generator cannot be renewed"

TABLE = pa.table({"key": ["a", "b", "c", None] * 25_000, "value": range(100_000)})
SINK = pa.BufferOutputStream()
pq.write_table(TABLE, SINK, row_group_size=10_000)
STORED = SINK.getvalue()
pq.read_table(pa.BufferReader(STORED), use_threads=True)
POOL = pa.default_memory_pool()


def handler(event: Any, context: Any) -> dict[str, Any]:
    pieces = [pa.array(range(number, number + 10_000)) for number in range(50)]
    del pieces
    POOL.release_unused()
    grouped = TABLE.group_by("key", use_threads=True).aggregate([("value", "sum")]).sort_by("key")
    sink = pa.BufferOutputStream()
    pq.write_table(TABLE, sink, compression="zstd")
    return {
        "sum": pc.sum(TABLE["value"]).as_py(),
        "grouped": grouped.to_pylist(),
        "read": pq.read_table(pa.BufferReader(STORED), use_threads=True).equals(TABLE),
        "written": pq.read_table(pa.BufferReader(sink.getvalue())).equals(TABLE),
        "threads": pa.cpu_count(),
        "allocated": POOL.bytes_allocated() > 0,
    }
