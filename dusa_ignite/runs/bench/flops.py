"""Floating-point operations of a computation and of an update's parts, from shapes alone.

Counted are matrix products, convolutions and attention, a multiplication and an addition being two operations:

* a linear layer with n rows of i inputs and o outputs: 2 n i o forward, as much backward for its input's gradient and
  as much for its weight's;
* a convolution: 2 B H W c_out (c_in / groups) k_h k_w forward, H and W of the output; backward as much for the input's
  gradient and as much for the weight's, each where it is asked for;
* attention of n queries to m keys, h heads of d: 4 h n m d forward, twice that backward.

``torch.utils.flop_counter`` counts the weight's gradient of a grouped convolution as if there were one group: 96 times
too much for a depthwise one of 96 channels. So its rule for the way back is replaced by the one above. What is
computed twice, as with activation checkpointing or by attention that keeps no weights, counts once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode, conv_flop_count

from dusa_ignite.config import Config
from dusa_ignite.methods.find import find_method
from dusa_ignite.methods.footprint import Footprint
from dusa_ignite.models import Classifier, Guide
from dusa_ignite.runs.assemble_models import classifier_of, guide_of
from dusa_ignite.runs.builders import META
from dusa_ignite.utils.quiet import quiet

COUNTED = 2  # images that are counted at once: BatchNorm with the batch's statistics may refuse one
Shape = Sequence[int]


def convolution_backward(
    grad_out: Shape,
    inputs: Shape,
    weight: Shape,
    _bias: Any,
    _stride: Any,
    _padding: Any,
    _dilation: Any,
    transposed: bool,
    _output_padding: Any,
    _groups: int,
    output_mask: Sequence[bool],
    out_shape: Any = None,
) -> int:
    """Operations of ``aten.convolution_backward``: those of the forward pass, for each gradient that is asked for."""
    forward = conv_flop_count(list(inputs), list(weight), list(grad_out), transposed=transposed)
    return forward * (int(output_mask[0]) + int(output_mask[1]))


def attention(query: Shape, key: Shape, value: Shape, *_: Any, out_shape: Any = None, **__: Any) -> int:
    """Operations of ``aten._scaled_dot_product_flash_attention_for_cpu``, which torch's counter does not know."""
    rows, length = math.prod(query[:-1]), key[-2]
    return 2 * rows * length * (query[-1] + value[-1])


def attention_backward(_grad: Shape, query: Shape, key: Shape, value: Shape, *_: Any, **__: Any) -> int:
    """Operations of its way back."""
    return 2 * attention(query, key, value)


RULES: dict[Any, Callable[..., int]] = {
    torch.ops.aten.convolution_backward: convolution_backward,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention,
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu_backward: attention_backward,
}


def count_flops(compute: Callable[[], Any]) -> int:
    """Operations of a computation, run eagerly; on the meta device it takes neither time nor memory."""
    with FlopCounterMode(display=False, custom_mapping=RULES) as counter:
        compute()
    return counter.get_total_flops()


@dataclass(frozen=True)
class Flops:
    """Operations per image of an update's parts.

    Attributes:
        classifier: one pass with the way back.
        classifier_alone: one pass without it, such as the monitor's.
        encoding: of the guide's VAE; 0 without one.
        candidate: one prediction of the guide with the way back.
        candidate_alone: one prediction without it.
    """

    classifier: float = 0.0
    classifier_alone: float = 0.0
    encoding: float = 0.0
    candidate: float = 0.0
    candidate_alone: float = 0.0

    def update(self, footprint: Footprint) -> float:
        """Of a whole update, per image: what has to be computed, however it is done.

        Left out are the optimizer's step, the classifier's further pass without a graph under ``method.diversity``, and
        the way back through a guide that does not learn itself.
        """
        with_graph, alone = footprint.predictions
        return self.classifier + self.encoding + with_graph * self.candidate + alone * self.candidate_alone


def flops_of(config: Config) -> Flops:
    """Those of a config's models, built without content."""
    with META, quiet():
        classifier = classifier_of(config, shapes_only=True)
        guide = guide_of(config, shapes_only=True)
        flops = Flops(
            classifier=_of_classifier(classifier, graph=True) / COUNTED,
            classifier_alone=_of_classifier(classifier, graph=False) / COUNTED,
        )
        if guide is None:
            return flops
        return replace(
            flops,
            encoding=_of_encoding(guide) / COUNTED,
            candidate=_of_transformer(guide, graph=True) / COUNTED,
            candidate_alone=_of_transformer(guide, graph=False) / COUNTED,
        )


def footprint_of(config: Config) -> Footprint:
    """What the method says of its updates."""
    return find_method(config.method.name).footprint(config.method)


def _there_and_back(compute: Callable[[], torch.Tensor], *, graph: bool) -> int:
    def both() -> None:
        with torch.set_grad_enabled(graph):
            result = compute()
        if result.requires_grad:
            result.sum().backward()

    return count_flops(both)


def _of_classifier(classifier: Classifier, *, graph: bool) -> int:
    images = next(classifier.parameters()).new_empty(COUNTED, 3, classifier.image_size, classifier.image_size)
    return _there_and_back(lambda: classifier(images), graph=graph)


def _of_transformer(guide: Guide, *, graph: bool) -> int:
    some = next(guide.transformer.parameters())
    noised, times = some.new_empty(COUNTED, *guide.latent_shape), some.new_empty(COUNTED)
    classes = some.new_empty(COUNTED, dtype=torch.int64)
    return _there_and_back(lambda: guide.transformer(noised, times, classes), graph=graph)


def _of_encoding(guide: Guide) -> int:
    if guide.vae is None:
        return 0
    vae = guide.vae
    view = next(vae.parameters()).new_empty(COUNTED, 3, guide.image_size, guide.image_size)
    return _there_and_back(lambda: vae.encode(view).latent_dist.mean, graph=False)
