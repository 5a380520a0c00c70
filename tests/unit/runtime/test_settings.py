"""Settings of the process that the freeze notes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from quickthaw.runtime import settings


def test_threads_may_end_while_they_are_looked_at() -> None:
    over = threading.Event()

    def churn() -> None:
        while not over.is_set():
            threads = [threading.Thread(target=int) for _ in range(8)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    with ThreadPoolExecutor(1) as pool:
        churning = pool.submit(churn)
        try:
            seen = {len(settings.now().threads) for _ in range(2000)}
        finally:
            over.set()
        churning.result()
    assert min(seen) >= 2
