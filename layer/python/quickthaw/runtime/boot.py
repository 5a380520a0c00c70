"""Entry of the Python bootstrap: `python -I -S /opt/python/quickthaw/runtime/boot.py COMMAND...`

COMMAND is the original command line of the runtime, started unchanged when
there is no thaw.  This file is compiled at each start (Python caches imported
modules, not scripts), so it only notes the time and hands over.
"""

import posix
import sys
import time

_started_s = time.monotonic()
sys.path.insert(0, __file__.rsplit("/", 3)[0])
_begun = None
if b"QUICKTHAW_STARTED" in posix.environ:
    from quickthaw.runtime import early  # CRIU waits for pages: they come first

    _begun = early.begin(posix.environ)

from quickthaw.runtime import thaw  # noqa: E402 - the path must be set first

if __name__ == "__main__":
    thaw.main(sys.argv[1:], _started_s, _begun)
