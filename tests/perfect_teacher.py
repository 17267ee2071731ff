"""What DUSA for windows makes of a perfect teacher on canvases: is the guide the reason where it does not gain?

    python tests/perfect_teacher.py [--images 60] [--lr 1e-4]

The shipped segmenter adapts to severity 5, image by image, from fresh weights for every corruption. In place of a
guide's predictions the update gets the noise itself, off by a vector of its own for each class wherever the place is of
another class, and off by some noise everywhere: nobody could tell the classes apart better. ``flat`` takes weights over
normalised logits, as published, ``raw`` over the logits as they are; ``labels`` learns the true labels by cross-entropy
instead, the most that such a rate can give; ``source`` does not learn. Printed is mIoU in percent.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from torch.nn import functional as F

from dusa_ignite.data.segmentation.canvases import CorruptedCanvases
from dusa_ignite.data.segmentation.drawing import CLASSES
from dusa_ignite.segmentation.classes import class_weights, keep_classes, latent_logits
from dusa_ignite.segmentation.counts import image_counts
from dusa_ignite.segmentation.load_segmenter import load_segmenter
from dusa_ignite.segmentation.scores import mean_iou
from dusa_ignite.segmentation.window_loss import window_loss

SIDE, SEVERITY = 64, 5
CORRUPTIONS = ("gaussian_noise", "fog", "motion_blur")
KINDS = ("source", "labels", "flat", "raw")
OFF = 0.3 * torch.randn(len(CLASSES), 3, generator=torch.Generator().manual_seed(1))  # of a place of another class
ERROR = 0.3  # standard deviation of what the teacher gets wrong everywhere


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--images", type=int, default=60, help="per corruption")
    parser.add_argument("--lr", type=float, default=1e-4, help="AdamW's")
    given = parser.parse_args()
    torch.set_num_threads(1)
    print("".join(f"{name:>16}" for name in ("", *CORRUPTIONS)))
    for kind in KINDS:
        found = [adapted(kind, corruption, count=given.images, lr=given.lr) for corruption in CORRUPTIONS]
        print(f"{kind:>16}" + "".join(f"{100 * score:16.1f}" for score in found))


def adapted(kind: str, corruption: str, *, count: int, lr: float) -> float:
    """mIoU of the predictions from before each update."""
    segmenter = load_segmenter("embedded", short_side=SIDE, batch_norm="source")
    optimizer = torch.optim.AdamW(segmenter.parameters(), lr=lr, weight_decay=0.0)
    generator = torch.Generator().manual_seed(0)
    canvases = CorruptedCanvases(corruption, SEVERITY, count=count, side=SIDE)
    counts = np.zeros((3, len(CLASSES)), dtype=np.int64)
    for number in range(count):
        image, labels = canvases[number]
        logits = segmenter(image[None] / 255)
        counts += image_counts(logits[0].detach(), labels).numpy()
        if kind == "source":
            continue
        optimizer.zero_grad()
        objective(kind, logits, labels, generator).backward()
        optimizer.step()
    return float(mean_iou(counts))


def objective(kind: str, logits: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """The loss of one image (1, C, h, w) with labels (H, W)."""
    size = (labels.shape[0], labels.shape[1])
    if kind == "labels":
        return F.cross_entropy(F.interpolate(logits, size=size, mode="bilinear"), labels[None])
    z = latent_logits(logits, size=size, normalise=kind == "flat")
    scores = torch.rand(len(CLASSES), generator=generator, dtype=torch.float64)
    kept = keep_classes(z, top_per_pixel=3, max_classes=4, scores=scores)
    noise = torch.randn(1, 3, *size, generator=generator)
    off = OFF[kept.classes][:, :, None, None] - OFF[labels].permute(2, 0, 1)[None]  # 0 where the class is right
    wrong = ERROR * torch.randn(1, 3, *size, generator=generator)
    return window_loss(class_weights(z, kept.classes), noise + off + wrong, noise, kept.mask)


if __name__ == "__main__":
    main()
