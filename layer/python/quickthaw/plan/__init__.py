"""Plans a native thaw: from CRIU's images to the flat file that the restorer executes.

``build(...)`` writes the plan and its pages files, ``refusals(process)`` says
what stands against it.  Developer side only; the restorer is
``layer/native``, and `layout` is the contract between the two.
"""

from quickthaw.plan.advice import wiped_on_fork
from quickthaw.plan.build import PlanSummary, build
from quickthaw.plan.hot import HotSet
from quickthaw.plan.refuse import refusals

__all__ = ["HotSet", "PlanSummary", "build", "refusals", "wiped_on_fork"]
