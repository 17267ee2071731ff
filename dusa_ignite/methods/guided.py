"""The update that all methods with a guide share: they differ in the objective alone."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from ignite.engine import Engine

from dusa_ignite.distributed.collectives import all_reduce_gradients, global_max, global_sum
from dusa_ignite.methods.draws import Draws, draw_batch
from dusa_ignite.methods.step import Pass, Update, chunks, finite_step, image_parts, trainable_parameters
from dusa_ignite.models.classifier import Classifier
from dusa_ignite.models.guides.guide import Guide
from dusa_ignite.models.guides.times import TimeSampler
from dusa_ignite.models.views import Images, to_float
from dusa_ignite.utils.seeding import sample_generators

Objective = Callable[[Images, torch.Tensor, Draws], tuple[torch.Tensor, torch.Tensor]]
"""Maps the images of a micro-batch, their logits (b, C) and their draws to the mean of their losses, and to numbers
(b, K) per image, detached, that become diagnostics."""


def guided_update(
    *,
    classifier: Classifier,
    guide: Guide,
    optimizer: torch.optim.Optimizer,
    seed: int,
    time: TimeSampler,
    micro_batch_size: int,
    objective: Objective,
    num_columns: int,
    diagnose: Callable[[torch.Tensor, float], dict[str, float]],
    num_samples: int = 1,
    num_gumbel: int = 0,
    scaler: torch.amp.GradScaler | None = None,
) -> Update:
    """The process function that minimises an objective of images and logits over all trainable parameters.

    The loss is a mean over the global batch, so neither the micro-batch size nor the number of processes changes the
    update. The graph of the objective is freed before the classifier's is walked.

    Args:
        classifier: in eval mode.
        guide: in eval mode. If it is spread over processes, all of them run the objective equally often.
        optimizer: over everything that learns, the guide's parameters included.
        seed: of each image's generator.
        time: draws noise levels, see :mod:`dusa_ignite.models.guides.times`.
        micro_batch_size: images in the graph at once; a classifier whose BatchNorm uses the batch's statistics sees the
            whole batch at once all the same.
        objective: see :data:`Objective`.
        num_columns: K, numbers that the objective returns per image.
        diagnose: turns those of all images (B, K) and the number of images of the global batch (at least 1) into
            diagnostics over the global batch; called by all processes.
        num_samples, num_gumbel: what an image draws, see :func:`dusa_ignite.methods.draws.draw_batch`.
        scaler: of the loss, for float16.

    Returns:
        ``update(engine, batch) -> output``; both are described in :mod:`dusa_ignite.engine`.
    """
    scaler = scaler or torch.amp.GradScaler(enabled=False)
    parameters = trainable_parameters(optimizer)
    device, dtype = parameters[0].device, parameters[0].dtype

    def draw(generators: list[torch.Generator]) -> Draws:
        counts = {"num_samples": num_samples, "num_gumbel": num_gumbel}
        return draw_batch(generators, time=time, shape=guide.latent_shape, device=device, **counts)

    def update(engine: Engine, batch: dict[str, Any]) -> dict[str, Any]:
        images = to_float(batch["images"], device=device, dtype=dtype)
        draws = draw(sample_generators(seed, batch["task"], batch["index"]))
        count = len(batch["index"])
        total = global_sum(count)
        rounds = len(list(chunks(count, micro_batch_size)))
        idle_rounds = int(global_max(rounds)) - rounds if guide.is_sharded else 0
        loss_sum = torch.zeros((), dtype=torch.float64, device=device)
        all_logits = [torch.empty(0, classifier.num_classes, dtype=dtype, device=device)]
        all_numbers = [torch.empty(0, num_columns, dtype=dtype, device=device)]
        with guide.weights_cast_once(device):
            for outer in image_parts(classifier, count, micro_batch_size=micro_batch_size):
                own = Pass(classifier, images[outer], micro_batch_size=micro_batch_size)
                for inner in chunks(len(own.logits), micro_batch_size):
                    part = slice(outer.start + inner.start, outer.start + inner.stop)
                    loss, numbers = objective(images[part], own.logits[inner], draws[part])
                    share = loss * (len(numbers) / total)  # of the mean over the global batch
                    scaler.scale(share).backward()
                    loss_sum += share.detach()
                    all_numbers.append(numbers)
                own.backward()
                all_logits.append(own.logits.detach())
        for _ in range(idle_rounds):
            idle(objective, all_logits[0], draw([torch.Generator()]))

        all_reduce_gradients(parameters)
        loss_value = global_sum(loss_sum.item()) if total else math.nan
        stepped = total > 0 and finite_step(optimizer, parameters, loss_value, scaler)
        diagnostics = diagnose(torch.cat(all_numbers), max(total, 1))
        return {
            "y_pred": torch.cat(all_logits),
            "y": batch["labels"].to(device),
            "loss": loss_value,
            "diagnostics": {**diagnostics, "skipped_update": float(total > 0 and not stepped)},
        }

    return update


def idle(objective: Objective, logits: torch.Tensor, draws: Draws) -> None:
    """Run the objective on a black image without weight, because other processes run it on theirs.

    Args:
        objective: see :data:`Objective`.
        logits: (0, C), of the right dtype and device.
        draws: any of one image.
    """
    image = logits.new_zeros(1, 3, 8, 8)
    loss, _ = objective(image, logits.new_zeros(1, logits.shape[1]).requires_grad_(), draws)
    (0 * loss).backward()


def noised(guide: Guide, images: Images, draws: Draws) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Encoded images under the noise that they drew.

    Args:
        guide: encodes every image once, however many samples there are.
        images: B of them.
        draws: of these images, S samples for each.

    Returns:
        ``x_t`` and the target (S B, C, H, W), and the model's time (S B,): all images' first samples, then the second.
    """
    x0 = guide.encode(images).repeat(draws.times.shape[1], 1, 1, 1)
    noise = draws.noise.transpose(0, 1).flatten(0, 1)
    return guide.path(x0, noise.to(x0), draws.times.T.flatten())
