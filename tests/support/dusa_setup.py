"""A classifier, a guide and an optimizer, for DUSA's updates one by one."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from dusa_ignite.engine import Output
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.losses import Loss
from dusa_ignite.models import Classifier, Guide, build_classifier, load_transformer
from dusa_ignite.models.guides.paths import linear
from dusa_ignite.models.guides.times import uniform

CLASSES = 6
TASK = "noise/5"
SEED = 11


class LinearClassifier(nn.Module):
    """A linear classifier of 16 x 16 images."""

    num_classes = CLASSES
    uses_batch_statistics = False

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * 16 * 16, CLASSES)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.linear(images.flatten(1))


def make_guide(*, trainable: bool = True, **kwargs: Any) -> Guide:
    """A tiny transformer in pixel space, with weights that let every parameter matter."""
    torch.manual_seed(1)
    transformer = load_transformer(
        "random",
        family="repa",
        num_classes=CLASSES,
        latent_size=16,
        in_channels=3,
        patch_size=8,
        hidden_size=16,
        depth=1,
        num_heads=2,
    )
    with torch.no_grad():
        for parameter in transformer.parameters():
            if parameter.requires_grad:
                parameter.normal_(std=0.2)
        transformer.y_embedder.embedding_table.weight.normal_()
    if not trainable:
        transformer.requires_grad_(False)
    return Guide(transformer, path=linear, image_size=16, **kwargs).eval()


def make_classifier(name: str, **kwargs: Any) -> Classifier:
    torch.manual_seed(2)
    options = {"img_size": 32} if name == "test_vit" else None
    return build_classifier(name, num_classes=CLASSES, image_size=32, options=options, **kwargs)


def make_batch(count: int, side: int = 16) -> dict[str, Any]:
    images = torch.randint(256, (count, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    return {"images": images, "labels": torch.arange(count) % CLASSES, "index": torch.arange(count) * 7, "task": TASK}


LOSS = Loss(distance="norm_l2", p=0.5, c=1e-3, cosine_weight=1.0)


class Setup:
    """A classifier, a guide and an optimizer over all that is trainable, in a group for each."""

    def __init__(self, classifier: Any, guide: Guide, *, lr: float = 1e-3, guide_lr: float | None = None) -> None:
        self.classifier, self.guide = classifier, guide
        rates = {classifier: lr, guide: lr if guide_lr is None else guide_lr}
        groups = [
            {"params": [p for p in model.parameters() if p.requires_grad], "lr": rate} for model, rate in rates.items()
        ]
        self.optimizer = torch.optim.Adam([group for group in groups if group["params"]])

    def update(self, batch: Any, *, method: type[Dusa] = Dusa, **parts: Any) -> Output:
        """One update by a method made for it, of what the optimizer remembers."""
        options = method.Options(num_top=2, num_random=2, loss=LOSS)
        update = method(
            options,
            classifier=self.classifier,
            guide=self.guide,
            optimizer=self.optimizer,
            seed=SEED,
            time=uniform(t_min=0.2, t_max=0.8),
            **parts,
        )
        return update(None, batch)

    def state(self) -> dict[str, torch.Tensor]:
        models = {"classifier": self.classifier, "guide": self.guide}
        return {f"{k}.{n}": v.clone() for k, model in models.items() for n, v in model.state_dict().items()}


def changed(before: dict[str, torch.Tensor], after: dict[str, torch.Tensor]) -> set[str]:
    assert before.keys() == after.keys()
    return {name for name in before if not torch.equal(before[name], after[name])}
