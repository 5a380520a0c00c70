"""Reads CRIU's image directory (format 1.1, CRIU 3.11 to 4.3) into frozen records.

``load(directory) -> Process`` is the way in; `records` holds one record per
message, `pages.PageStore` the page contents.  Developer side only: nothing on
Lambda reads CRIU images with it.
"""

from quickthaw.criuimg.pages import PageStore
from quickthaw.criuimg.process import PageMap, Process, Thread, load

__all__ = ["PageMap", "PageStore", "Process", "Thread", "load"]
