"""A reward for predictions that do not end in few classes.

With p_i the prediction for image i and m = mean_i p_i over the global batch of B images, the term is

    weight * sum_c m_c log m_c

minus the entropy of the mean prediction: the diversity part of information maximisation (SHOT: Liang, Hu & Feng, ICML
2020, arXiv 2002.08546). Its gradient reaches an image through its own p_i alone, as (log m + 1) / B, and as
probabilities add up to 1 the 1 has no effect. So, once m is known,

    weight * sum_c p_ic log m_c,    log m held constant,

is each image's part: the mean over the batch has the term's value and its exact gradient, in whatever pieces it is
taken.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from dusa_ignite.distributed.collectives import all_sum

ImageTerms = Callable[[torch.Tensor], torch.Tensor]
"""Maps logits (b, C) of some images of a batch to their parts of the term (b,), which carry the gradient."""

DIVERSITY = (
    "weight of sum_c m_c log m_c, m = the mean prediction of the whole batch, which keeps predictions from ending in "
    "few classes, >= 0"
)
"""What the option is, for all methods that have it."""


def diversity_terms(weight: float, logits: Callable[[], torch.Tensor], total: int) -> ImageTerms | None:
    """The images' terms, with m of the global batch; ``None`` = there is no term, and no logits are asked for.

    Args:
        weight: of the term, >= 0; 0 = there is none.
        logits: returns those of this process's images (B, C). All processes must take part.
        total: images in the global batch, >= 0.
    """
    if not weight:
        return None
    mean = all_sum(logits().detach().softmax(dim=1).sum(dim=0)) / max(total, 1)
    log_mean = mean.clamp_min(torch.finfo(mean.dtype).tiny).log()  # a class that nothing is near has p = 0 as well
    return lambda some: weight * (some.softmax(dim=1) @ log_mean.to(some))
