"""Diffusion-TTA: the classifier's probabilities mix the class embeddings (Prabhudesai et al., NeurIPS 2023, arXiv
2311.16102).

The guide is not asked about classes one by one, but once per noise sample, about the expected class

    c = sum_k p_k e_k,    p = softmax(logits),    e_k the embedding of class k (kept fixed),

and both models learn from its denoising loss E_{t, noise} ||v(x_t, t, c) - target||^2.
"""

from __future__ import annotations

import torch

from dusa_ignite.distributed.collectives import global_sums
from dusa_ignite.methods import episodic
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.guided import guided_update, noised
from dusa_ignite.methods.losses import image_losses
from dusa_ignite.methods.step import Update
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides.guide import Guide
from dusa_ignite.models.guides.times import TimeSampler
from dusa_ignite.models.views import Images


def diffusion_tta(
    *,
    classifier: Classifier,
    guide: Guide,
    optimizer: torch.optim.Optimizer,
    seed: int,
    time: TimeSampler,
    micro_batch_size: int,
    scaler: torch.amp.GradScaler | None = None,
    num_samples: int = 6,
    top_k: int | None = None,
    predict_after: bool = False,
) -> Update:
    """The process function of one Diffusion-TTA update per batch.

    As published, every image adapts a fresh copy of both models for 5 steps of 180 samples of noise and time each (DiT;
    t uniform in [0, 1]; SGD, learning rate 5e-3, momentum 0.9), and is then predicted. Here a batch adapts the models
    once, like in every other method. The default of 6 samples per image asks as much of the transformer as DUSA's six
    candidates do.

    Args:
        classifier, guide: in eval mode; what of them is trainable learns.
        optimizer: over those parameters.
        seed: of the draws.
        time: draws the noise level of every sample anew, see :mod:`dusa_ignite.models.guides.times`.
        micro_batch_size, scaler: see :func:`dusa_ignite.methods.guided.guided_update`.
        num_samples: draws of noise and time per image, >= 1, in the graph at once.
        top_k: mix only so many most likely classes, their probabilities renormalised, >= 1; ``None`` (published for
            the DiT) = all.
        predict_after: the prediction that counts is the one after the update, as published; otherwise, as in the other
            methods, the one before.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`.

    Raises:
        ValueError: no sample, or ``top_k`` is not in 1 .. number of classes.
    """
    if num_samples < 1:
        raise ValueError(f"num_samples must be >= 1, not {num_samples}")
    if top_k is not None and not 1 <= top_k <= classifier.num_classes:
        raise ValueError(f"top_k must be in 1 .. {classifier.num_classes}, not {top_k}")

    def guidance(images: Images, logits: torch.Tensor, draws: Draws) -> tuple[torch.Tensor, torch.Tensor]:
        """The loss of a micro-batch, and each image's loss (B, 1)."""
        embedding = expected_embedding(logits, guide.class_embeddings(), top_k=top_k)  # (B, D)
        x_t, target, model_time = noised(guide, images, draws)
        prediction = guide.predict_embedded(x_t, model_time, embedding.repeat(num_samples, 1))
        losses = image_losses(prediction, target).unflatten(0, (num_samples, -1)).mean(dim=0)
        return losses.mean(), losses.detach()[:, None]

    update = guided_update(
        classifier=classifier,
        guide=guide,
        optimizer=optimizer,
        seed=seed,
        time=time,
        micro_batch_size=micro_batch_size,
        objective=guidance,
        num_columns=1,
        diagnose=lambda losses, total: {"denoising_loss": global_sums(losses.sum(dim=0))[0] / total},
        num_samples=num_samples,
        scaler=scaler,
    )
    return episodic.predict_after(update, classifier, micro_batch_size=micro_batch_size) if predict_after else update


def expected_embedding(logits: torch.Tensor, embeddings: torch.Tensor, *, top_k: int | None = None) -> torch.Tensor:
    """The class embeddings' mean under the classifier's probabilities.

    Args:
        logits: (B, C); the gradient reaches them.
        embeddings: (C, D), taken as constants.
        top_k: see :func:`diffusion_tta`.

    Returns:
        (B, D).
    """
    embeddings = embeddings.detach().to(logits.dtype)
    if top_k is None:
        return logits.softmax(dim=1) @ embeddings
    top = logits.topk(top_k, dim=1)
    return torch.einsum("bk,bkd->bd", top.values.softmax(dim=1), embeddings[top.indices])
