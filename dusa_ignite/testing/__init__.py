"""For tests of methods, one's own included: toy models and batches, and the contract that every method keeps."""

from dusa_ignite.testing.contract import check_method
from dusa_ignite.testing.runs import Run
from dusa_ignite.testing.toys import make_batch, sharp_classifier, toy_classifier, toy_guide

__all__ = ["Run", "check_method", "make_batch", "sharp_classifier", "toy_classifier", "toy_guide"]
