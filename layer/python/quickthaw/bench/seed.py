"""What the pull request reported that quickthaw grew out of, to stand beside our figures.

CRaC/criu #1, "Asynchronous image decompression on restore", shows ten REPORT
lines of a Java function before (decompressed by a script, then restored) and
ten after (decompressed in a thread beside the restore).  These are their
billed durations in ms, in the order of the lines.
"""

from __future__ import annotations

from statistics import mean

SOURCE = "CRaC/criu #1"
OLD_BILLED_MS = (634, 636, 636, 622, 635, 591, 597, 573, 597, 635)
NEW_BILLED_MS = (540, 547, 531, 557, 558, 550, 556, 555, 554, 553)

OLD_MEAN_MS = mean(OLD_BILLED_MS)  # 615.6
NEW_MEAN_MS = mean(NEW_BILLED_MS)  # 550.1
GAIN = 1 - NEW_MEAN_MS / OLD_MEAN_MS  # 0.106
