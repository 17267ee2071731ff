"""What the two problems build in ways of their own: the data's classes, the model that is adapted, and its guide."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch

from dusa_ignite.config import Config
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.runs.class_check import FoundData

META = torch.device("meta")


class Builders(NamedTuple):
    """The functions of a problem, each called with the config first.

    Attributes:
        classes: called with the data's tasks too; returns them with what is known of their classes, or says that data
            and models do not fit.
        classifier: called with ``shapes_only``; see :func:`dusa_ignite.runs.assemble_models.classifier_of`.
        guide: called with the classes' names and ``shapes_only``, where the method needs one; see
            :func:`dusa_ignite.runs.assemble_models.guide_of`.
        classifier_weights: where the classifier's weights come from.
        guide_weights: where the guide's come from; ``None`` where there is none.
        guide_option: the guide's section in the config, and the option in it that says which guide it is.
    """

    classes: Callable[..., FoundData]
    classifier: Callable[..., Classifier]
    guide: Callable[..., Guide]
    classifier_weights: Callable[[Config], str]
    guide_weights: Callable[[Config], str | None]
    guide_option: tuple[str, str]
