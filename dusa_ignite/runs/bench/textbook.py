"""The update as a textbook would have it: the yardstick for what the real one is made of.

    for each micro-batch:
        logits = classifier(images)
        v = sum_k w_k guide(x_t, t, class_k)        one forward pass after the other, each with its graph
        d(v, target).backward()                     one backward pass, through guide and classifier together
    optimizer.step()

The loss, the draws and so the gradients are those of the method ``dusa``; every trick is left out:
candidates are not joined to one pass, half-precision casts of weights are made in every pass, and the classifier's
graph stays while the guide works.
"""

from __future__ import annotations

from typing import Any

import ignite.distributed as idist
import torch

from dusa_ignite.engine import Batch
from dusa_ignite.errors import ConfigError
from dusa_ignite.methods.base import Method
from dusa_ignite.methods.candidates import candidate_weights
from dusa_ignite.methods.diversity import diversity_terms
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.guided import noised
from dusa_ignite.methods.losses import image_losses
from dusa_ignite.models.forward import micro_batches
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import sample_generators


class Textbook:
    """DUSA's update in a single process, with a loop over candidates.

    Args:
        method: ``dusa``, whose models, options, draws, candidates and optimizer's step are taken.

    Raises:
        ConfigError: the method is not ``dusa``, or not all of its candidates carry the guide's gradient; or there are
            several processes.
    """

    def __init__(self, method: Method) -> None:
        if method.options.name != "dusa" or method.options.transformer_backward != "all":
            raise ConfigError("textbook is the update of method.name=dusa with method.transformer_backward=all")
        if idist.get_world_size() > 1:
            raise ConfigError("textbook is the update of a single process")
        self.method: Any = method

    def __call__(self, engine: object, batch: Batch) -> dict[str, Any]:
        """One update: ``y_pred`` (B, C) from before it, and ``loss``."""
        method = self.method
        images = to_float(batch["images"], device=method.device, dtype=method.dtype)
        total = len(images)
        draws = method.draw(sample_generators(method.seed, batch["task"], batch["index"]))
        diversity = diversity_terms(method.options.diversity, lambda: method.predict(images), total)
        all_logits, loss_sum = [], 0.0
        for part in micro_batches(method.classifier, total, micro_batch_size=method.micro_batch_size):
            logits = method.classifier(images[part])
            losses = self.losses(images[part], logits, draws[part])
            if diversity:
                losses = losses + diversity(logits)
            loss = losses.sum() / total
            (loss if method.scaler is None else method.scaler.scale(loss)).backward()
            loss_sum += loss.item()
            all_logits.append(logits.detach())
        method.step(loss_sum)
        return {"y_pred": torch.cat(all_logits), "loss": loss_sum}

    def losses(self, images: Images, logits: torch.Tensor, draws: Draws) -> torch.Tensor:
        """(b,) of the images of a micro-batch; the gradient reaches classifier and guide."""
        guide, options = self.method.guide, self.method.options
        x_t, target, time = noised(guide, images, draws)
        candidates = self.method.select(logits, draws)
        weights = candidate_weights(logits, candidates, normalise_logits=options.normalise_logits)
        combined = torch.zeros_like(target)
        for k in range(candidates.shape[1]):
            prediction = guide.predict(x_t, time, candidates[:, k : k + 1]).squeeze(1)
            combined = combined + weights[:, k, None, None, None].to(prediction.dtype) * prediction
        return image_losses(combined, target, **options.loss.model_dump())
