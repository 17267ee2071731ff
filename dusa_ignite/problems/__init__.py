"""What a run adapts to, a file each: one class per image, or one per pixel. Each says all that the two do not share.

Labels and logits have different shapes (:mod:`dusa_ignite.engine`); what works on both, as engine, stream, resets,
checkpoints, averaged norms, the monitor and tracking do, does not ask which it is.
"""

from dusa_ignite.problems.classification import CLASSIFICATION
from dusa_ignite.problems.problem import Problem
from dusa_ignite.problems.segmentation import SEGMENTATION

PROBLEMS: dict[str, Problem] = {problem.name: problem for problem in (CLASSIFICATION, SEGMENTATION)}

__all__ = ["PROBLEMS", "Problem"]
