"""Methods side by side: planning and running the runs, statistics, tables, pictures, and the paper's numbers.

Needs no torch: the runs are computed in processes of their own.
"""

from dusa_ignite.comparison.labels import check_labels
from dusa_ignite.comparison.paper import compare_with_paper
from dusa_ignite.comparison.plan import Plan, make_plan
from dusa_ignite.comparison.report import write_report
from dusa_ignite.comparison.runs import run_all
from dusa_ignite.comparison.tuning import plan_tuning, write_tuning

__all__ = [
    "Plan",
    "check_labels",
    "compare_with_paper",
    "make_plan",
    "plan_tuning",
    "run_all",
    "write_report",
    "write_tuning",
]
