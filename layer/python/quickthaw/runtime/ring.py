"""Decoding ahead: a second thread decodes, a few blocks in front of the one that delivers them.

Pays where the delivering thread waits for something else meanwhile: for CRIU to
empty a pipe (`stream`), for pages of a file while CRIU is held at a lease
(`async`).  Mode `grow` is faster without it, see there.
"""

from __future__ import annotations

import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    import _queue

    from quickthaw.runtime.feed import Feed

_RING = 16  # blocks decoded ahead: 4 MiB


class Ring:
    """A decoder for every page file of a snapshot; `next` in one thread, decoding in another."""

    def __init__(self, feed: Feed) -> None:
        import _queue
        import _thread

        self._feed = feed
        self._error: BaseException | None = None
        self._free: _queue.SimpleQueue[bytearray] = _queue.SimpleQueue()
        self._ready: _queue.SimpleQueue[tuple[bytearray, int] | None] = _queue.SimpleQueue()
        self.wait_s = 0.0
        _thread.start_new_thread(self._decode, ())

    def next(self) -> tuple[bytearray, int] | None:
        """The next block and its size; None at the end of each page file.

        Raises:
            Declined, BadSnapshot, OSError: what stopped the decoder.
        """
        begin = time.monotonic()
        block = self._ready.get()
        self.wait_s += time.monotonic() - begin
        if block is None:
            self.check()
        return block

    def give_back(self, block: tuple[bytearray, int]) -> None:
        """The block's buffer may be used again."""
        self._free.put(block[0])

    def check(self) -> None:
        """Raises what stopped the decoder, if something did."""
        if self._error is not None:
            raise self._error

    def _decode(self) -> None:
        feed = self._feed
        begin = time.monotonic()
        try:
            for number in feed.manifest.pages:
                decoder = feed.decoder(number)
                if self._free.empty():
                    for _ in range(_RING):
                        self._free.put(bytearray(decoder.index.block_size))
                for block in decoder.blocks(self._free.get):
                    self._ready.put(block)
                feed.bytes_read += decoder.bytes_read
                decoder.close()
                feed.decompress_s = time.monotonic() - begin
                self._ready.put(None)
        except BaseException as error:
            self._error = error
            self._ready.put(None)
