"""From a config to what is trained."""

from __future__ import annotations

import logging
from pathlib import Path

from dusa_ignite.data.files import left_out_line
from dusa_ignite.pretraining.own.classifier import ClassifierSubject
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.own.guide import GuideSubject
from dusa_ignite.pretraining.own.images import load_split
from dusa_ignite.pretraining.own.subject import Subject

logger = logging.getLogger(__name__)


def make_subject(config: OwnConfig, folder: Path) -> Subject:
    """The guide or the classifier with its images, in every process alike.

    Args:
        config: the whole.
        folder: of the outputs.

    Raises:
        UserError: the images or the weights cannot be used.
    """
    split = load_split(config.data, seed=config.seed)
    logger.info(
        "%d classes, %d images to learn from, %d held out", len(split.classes), len(split.training), len(split.held_out)
    )
    if split.left_out:
        logger.warning("%s", left_out_line(split.left_out))
    return GuideSubject(config, split, folder=folder) if config.what == "guide" else ClassifierSubject(config, split)
