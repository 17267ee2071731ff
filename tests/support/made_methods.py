"""Runs of every method, with options that let it learn from small batches; the tests of one method and of all use them.

Each function takes further arguments of :class:`dusa_ignite.testing.Run`, which win.
"""

from __future__ import annotations

from typing import Any

import torch

from dusa_ignite.methods.bn import Bn
from dusa_ignite.methods.cotta import Cotta
from dusa_ignite.methods.deyo import Deyo
from dusa_ignite.methods.diffusion_tta import DiffusionTta
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.dusa_u import DusaU
from dusa_ignite.methods.eata import Eata
from dusa_ignite.methods.fisher import fisher_information
from dusa_ignite.methods.lame import Lame
from dusa_ignite.methods.mixed_statistics import batch_norm_layers
from dusa_ignite.methods.roid import Roid
from dusa_ignite.methods.rotta import Rotta
from dusa_ignite.methods.sar import Sar
from dusa_ignite.methods.shot import Shot
from dusa_ignite.methods.tent import Tent
from dusa_ignite.models import Classifier
from dusa_ignite.testing import Run, sharp_classifier
from support.toys import SIDE, toy_classifier

SHARP_LR = 0.002  # sharp classifiers learn fast
AVERAGING: dict[str, Any] = {"confidence_threshold": 1.0, "num_augmentations": 2}
EATA: dict[str, Any] = {"entropy_margin": 0.35, "redundancy_margin": 0.7}
CLEAN = [  # images that EATA's Fisher information is measured on; every process has them all
    torch.rand(count, 3, SIDE, SIDE, dtype=torch.float64, generator=torch.Generator().manual_seed(count))
    for count in (4, 2)
]


def source_classifier(name: str) -> Classifier:
    """Its stored statistics are not just 0 and 1; a single image has statistics in every layer."""
    classifier = toy_classifier(name, batch_norm="source").double()
    classifier.image_size = 2 * SIDE
    for layer in batch_norm_layers(classifier):
        generator = torch.Generator().manual_seed(layer.num_features)
        layer.running_mean += 0.3 * torch.randn(layer.num_features, generator=generator)  # type: ignore[operator]
        layer.running_var *= 0.5 + torch.rand(layer.num_features, generator=generator)  # type: ignore[operator]
    return classifier


def make_bn(name: str = "test_resnet", **options: Any) -> Run:
    return Run(Bn, **{"classifier": source_classifier(name), **options})


def make_mixed_bn(**options: Any) -> Run:
    return make_bn("test_efficientnet", alpha=0.25, **options)


def make_tent(**options: Any) -> Run:
    return Run(Tent, **{"classifier": sharp_classifier(), "lr": SHARP_LR, **options})


def make_tent_with_batch_norm(**options: Any) -> Run:
    return make_tent(classifier=sharp_classifier("test_resnet"), **options)


def make_shot(**options: Any) -> Run:
    return Run(Shot, **{"classifier": sharp_classifier(), "lr": SHARP_LR, **options})


def make_shot_with_batch_norm(**options: Any) -> Run:
    return make_shot(classifier=sharp_classifier("test_resnet"), **options)


def make_eata(**options: Any) -> Run:
    run = make_eta(**{"beta": 0.5, "fisher_root": "embedded", "fisher_images": 1, **options})
    run.method.fisher = fisher_information(run.classifier, CLEAN, micro_batch_size=3)  # type: ignore[attr-defined]
    return run


def make_eta(**options: Any) -> Run:
    return Run(Eata, **{"classifier": sharp_classifier(), "lr": SHARP_LR, "beta": 0.0, **EATA, **options})


def make_sar(**options: Any) -> Run:
    own = {"entropy_margin": 0.26, "rho": 0.2, "recovery_threshold": 0.0}
    return Run(Sar, **{"classifier": sharp_classifier(), "lr": SHARP_LR, **own, **options})


def make_recovering_sar(**options: Any) -> Run:
    """Every batch ends at the source again."""
    return make_sar(**{"recovery_threshold": 10.0, **options})


def make_deyo(**options: Any) -> Run:
    own = {"entropy_threshold": 0.4, "plpd_threshold": 0.05}
    return Run(Deyo, **{"classifier": sharp_classifier(), "lr": SHARP_LR, **own, **options})


def make_deyo_with_batch_norm(**options: Any) -> Run:
    own = {"classifier": sharp_classifier("test_resnet"), "destruction": "pixel", "plpd_threshold": -0.5}
    return make_deyo(**{**own, **options})


def make_cotta(**options: Any) -> Run:
    return Run(Cotta, **{"restore_probability": 0.2, "teacher_decay": 0.9, **options})


def make_averaging_cotta(**options: Any) -> Run:
    return make_cotta(**{**AVERAGING, **options})


def make_rotta(**options: Any) -> Run:
    return Run(Rotta, **{"memory_size": 6, "update_every": 4, "nu": 0.2, **options})


def make_rotta_with_batch_norm(**options: Any) -> Run:
    return make_rotta(classifier=toy_classifier("test_resnet", batch_norm="source"), alpha=0.3, **options)


def make_roid(**options: Any) -> Run:
    return Run(Roid, **{"lr": 0.01, **options})


def make_lame(**options: Any) -> Run:
    return Run(Lame, **{"num_neighbours": 2, **options})


def make_mobile_lame(**options: Any) -> Run:
    """A classifier with a hidden layer between pooling and logits, which is wider than the pooled features."""
    return make_lame(classifier=toy_classifier("mobilenetv3_small_050", batch_norm="source"), **options)


def make_diffusion_tta(**options: Any) -> Run:
    return Run(DiffusionTta, **{"num_samples": 2, **options})


def make_dusa(**options: Any) -> Run:
    return Run(Dusa, **{"num_top": 2, "num_random": 1, **options})


def make_diverse_dusa(**options: Any) -> Run:
    return make_dusa(**{"diversity": 0.5, **options})


def make_dusa_sampled(**options: Any) -> Run:
    return make_dusa(**{"transformer_backward": "sampled", **options})


def make_dusa_sharing(**options: Any) -> Run:
    """Two images of five, two of three and one of one carry the guide's gradient."""
    return make_dusa_sampled(**{"guide_gradient_share": 0.5, **options})


def make_dusa_u(**options: Any) -> Run:
    return Run(DusaU, **{"num_top": 2, "num_random": 1, **options})
