"""The update as a textbook would have it: the yardstick for what the real one is made of.

    for each micro-batch:
        logits = classifier(images)
        v = sum_k w_k guide(x_t, t, class_k)        one forward pass after the other, each with its graph
        d(v, target).backward()                     one backward pass, through guide and classifier together
    optimizer.step()

The loss, the draws and so the gradients are those of :class:`dusa_ignite.methods.dusa.Dusa`; every trick is left out:
candidates are not joined to one pass, half-precision casts of weights are made in every pass, and the classifier's
graph stays while the guide works.
"""

from __future__ import annotations

import torch

from dusa_ignite.engine import Batch
from dusa_ignite.errors import ConfigError
from dusa_ignite.methods.base import Method, Step
from dusa_ignite.methods.candidates import candidate_weights
from dusa_ignite.methods.diversity import diversity_terms
from dusa_ignite.methods.draws import Draws
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.guided import noised
from dusa_ignite.methods.losses import image_losses
from dusa_ignite.models.forward import micro_batches
from dusa_ignite.models.views import Images
from dusa_ignite.utils.seeding import sample_generators


class Textbook(Dusa):
    """DUSA's update in a single process, with a loop over candidates."""

    def adapt(self, images: Images, batch: Batch) -> Step:
        """One update."""
        total = len(images)
        draws = self.draw(sample_generators(self.seed, batch["task"], batch["index"]))
        diversity = diversity_terms(self.options.diversity, lambda: self.predict(images), total)
        all_logits, loss_sum = [], 0.0
        for part in micro_batches(self.classifier, total, micro_batch_size=self.micro_batch_size):
            logits = self.classifier(images[part])
            losses = self.losses(images[part], logits, draws[part])
            if diversity:
                losses = losses + diversity(logits)
            loss = losses.sum() / total
            (loss if self.scaler is None else self.scaler.scale(loss)).backward()
            loss_sum += loss.item()
            all_logits.append(logits.detach())
        return Step(torch.cat(all_logits), loss_sum, stepped=self.step(loss_sum))

    def losses(self, images: Images, logits: torch.Tensor, draws: Draws) -> torch.Tensor:
        """(b,) of the images of a micro-batch; the gradient reaches classifier and guide."""
        x_t, target, time = noised(self.guide, images, draws)
        candidates = self.select(logits, draws)
        weights = candidate_weights(logits, candidates, normalise_logits=self.options.normalise_logits)
        combined = torch.zeros_like(target)
        for k in range(candidates.shape[1]):
            prediction = self.guide.predict(x_t, time, candidates[:, k : k + 1]).squeeze(1)
            combined = combined + weights[:, k, None, None, None].to(prediction.dtype) * prediction
        return image_losses(combined, target, **self.options.loss.model_dump())


def textbook_of(method: Method) -> Textbook:
    """The textbook's form of an update, of the same parts.

    Raises:
        ConfigError: the method is not ``dusa``, or not all of its candidates carry the guide's gradient.
    """
    if type(method) is not Dusa or method.samples_backward:
        raise ConfigError("textbook is the update of method.name=dusa with method.transformer_backward=all")
    return Textbook(
        method.options,
        classifier=method.classifier,
        optimizer=method.optimizer,
        guide=method.guide,
        time=method.time,
        scaler=method.scaler,
        seed=method.seed,
        micro_batch_size=method.micro_batch_size,
        predict_after=method.predict_after,
    )
