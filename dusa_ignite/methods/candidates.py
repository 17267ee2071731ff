"""Which classes the guide is asked about, and how much each of them weighs."""

from __future__ import annotations

import torch
from torch.nn import functional as F

DRAWS = ("multinomial", "uniform")


def select_candidates(
    logits: torch.Tensor,
    *,
    num_top: int,
    num_random: int,
    temperature: float,
    draw: str,
    gumbel: torch.Tensor | None = None,
) -> torch.Tensor:
    """The classes worth asking the guide about: the most likely ones, and a few others.

    The others are drawn without replacement from the remaining classes, with probability softmax(logits / temperature)
    (``multinomial``, by the Gumbel-top-k trick) or equal probability (``uniform``).

    Args:
        logits: (B, C) raw logits.
        num_top: most likely classes, >= 1.
        num_random: other classes, >= 0; num_top + num_random <= C.
        temperature: > 0; larger draws more evenly.
        draw: ``multinomial`` or ``uniform``.
        gumbel: (B, C) standard Gumbel draws, needed where num_random > 0; ``None`` = from torch's global generator.

    Returns:
        (B, num_top + num_random) int64: the top classes in falling order, then the drawn ones in the order of the draw.

    Raises:
        ValueError: more candidates than classes, a temperature that is not positive, an unknown draw, or ``gumbel`` of
            another shape.
    """
    count, num_classes = logits.shape
    if not 1 <= num_top <= num_top + num_random <= num_classes:
        raise ValueError(f"num_top={num_top} + num_random={num_random} candidates do not fit {num_classes} classes")
    if not temperature > 0:
        raise ValueError(f"temperature must be > 0, not {temperature}")
    if draw not in DRAWS:
        raise ValueError(f"draw must be one of {DRAWS}, not {draw!r}")
    logits = logits.detach()
    top = logits.topk(num_top, dim=1).indices
    if num_random == 0:
        return top
    if gumbel is None:
        gumbel = -torch.empty(count, num_classes, dtype=torch.float64).exponential_().log()
    if gumbel.shape != logits.shape:
        raise ValueError(f"gumbel must be of shape {tuple(logits.shape)}, not {tuple(gumbel.shape)}")
    scores = gumbel.to(logits.device)
    if draw == "multinomial":
        scores = scores + logits.double() / temperature
    others = scores.scatter(1, top, -torch.inf).topk(num_random, dim=1).indices
    return torch.cat([top, others], dim=1)


def candidate_weights(logits: torch.Tensor, candidates: torch.Tensor, *, normalise_logits: bool) -> torch.Tensor:
    """(B, K) weights: the softmax over the candidates of the (L2-normalised) logits (B, C); they carry the gradient."""
    z = F.normalize(logits, dim=1) if normalise_logits else logits
    return z.gather(1, candidates).softmax(dim=1)
