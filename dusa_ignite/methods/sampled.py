"""The sampled backward: one drawn candidate stands for all of them in the guide's gradient.

With v = sum_k w_k v_k the weighted prediction and g = dL/dv, the guide's gradient is

    sum_k w_k J_k^T g,    J_k the derivative of v_k with respect to the guide's parameters.

That is the mean of J_k^T g over a candidate k drawn with probability w_k, so one draw is an unbiased estimate of it.
The other K - 1 candidates then need no graph: K + 2 passes' worth of work in the place of 3 K, and a K-th of the
activations. The gradient with respect to the weights, the classifier's, needs only the values v_k and stays exact.

To spare more, only some images of a batch may carry the guide's gradient, the more weight for each.
"""

from __future__ import annotations

import math

import torch

from dusa_ignite.models.guides import Guide


def draw_candidate(weights: torch.Tensor, uniform: torch.Tensor) -> torch.Tensor:
    """(B,) int64 columns of weights (B, K), each drawn with its weight by a number in [0, 1) of ``uniform`` (B,)."""
    cumulated = weights.detach().double().cumsum(dim=1)
    return (uniform[:, None] >= cumulated[:, :-1]).sum(dim=1)


def evenly_spread(count: int, *, share: float, offset: float) -> torch.Tensor:
    """(count,) weights of images: n = max(1, round(share count)) of them have count / n, the others 0.

    They lie as evenly as can be, so that equal pieces of a batch have equally many of them, but for one. Over an
    ``offset`` that is uniform in [0, 1) every image is among them with probability n / count, so each weight's mean is
    1: what is weighted by them is unbiased.
    """
    weights = torch.zeros(count)
    if count:
        n = max(1, round(share * count))
        weights[[min(math.floor((i + offset) * count / n), count - 1) for i in range(n)]] = count / n
    return weights


def predict_sampled(
    guide: Guide,
    x_t: torch.Tensor,
    model_time: torch.Tensor,
    candidates: torch.Tensor,
    drawn: torch.Tensor,
    guide_weight: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Every candidate's prediction, each computed once, of which only the drawn one has a graph.

    The guide makes two passes, one without a graph and one with it. A sharded guide has an image in the latter whatever
    the weights are, because other processes wait for it there.

    Args:
        guide: predicts.
        x_t, model_time: (B, C, H, W) and (B,), as :meth:`dusa_ignite.models.Guide.predict` takes them.
        candidates: (B, K) int64 classes, K >= 2.
        drawn: (B,) int64, the column of the candidate with a graph.
        guide_weight: (B,) on the CPU, >= 0; images with 0 have no graph at all.

    Returns:
        The predictions (B, K, C, H, W), detached, and a carrier (B, C, H, W): zeros, through which the gradient of the
        weighted prediction reaches the guide, times the image's weight.
    """
    rows, last = torch.arange(len(candidates)), candidates.shape[1] - 1
    learning, resting = rows[guide_weight > 0], rows[guide_weight == 0]
    if guide.is_sharded and not len(learning):
        learning, resting = rows[:1], rows[1:]
    alone = torch.cat([rows.repeat_interleave(last), resting])  # images of the predictions without a graph
    rows, learning, resting, alone = (r.to(x_t.device, non_blocking=True) for r in (rows, learning, resting, alone))

    others = torch.arange(last, device=x_t.device).expand(len(rows), -1)
    columns = torch.cat([others + (others >= drawn[:, None]), drawn[:, None]], dim=1)  # (B, K), the drawn one last
    classes = candidates.gather(1, columns)
    with torch.no_grad():
        classes_alone = torch.cat([classes[:, :last].flatten(), classes[resting, last]])
        predicted = guide.predict(x_t[alone], model_time[alone], classes_alone[:, None]).squeeze(1)
    predictions, carrier = x_t.new_empty(*candidates.shape, *x_t.shape[1:]), torch.zeros_like(x_t)
    predictions[rows[:, None], columns[:, :last]] = predicted[: last * len(rows)].unflatten(0, (len(rows), last))
    predictions[resting, drawn[resting]] = predicted[last * len(rows) :]
    if len(learning):
        own = guide.predict(x_t[learning], model_time[learning], classes[learning, last:]).squeeze(1)
        predictions[learning, drawn[learning]] = own.detach()
        weights = guide_weight.to(x_t, non_blocking=True)[learning, None, None, None]
        carrier = carrier.index_add(0, learning, weights * (own - own.detach()))
    return predictions, carrier
