"""The random augmentations of CoTTA (Wang et al., CVPR 2022, arXiv 2203.13591), which RoTTA and ROID took over.

They are made for images in [0, 1]: a normalised image would be clipped to nonsense. So they are meant for the square
that the classifier crops, before its mean and standard deviation.
"""

from __future__ import annotations

import torch
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as TF

BRIGHTNESS, CONTRAST, SATURATION = (0.6, 1.4), (0.7, 1.3), (0.5, 1.5)  # factors
HUE, GAMMA = (-0.06, 0.06), (0.7, 1.3)  # of a full turn; exponent
DEGREES, SCALE = (-15.0, 15.0), (0.9, 1.1)
TRANSLATE = 1 / 16  # of the padded image, which is twice as wide
BLUR_SIGMA, BLUR_KERNEL = (0.001, 0.5), 5  # pixels
NOISE_STD = 0.005


def augment(
    images: torch.Tensor, generators: list[torch.Generator], *, padding: str = "edge", blur_and_noise: bool = True
) -> torch.Tensor:
    """Every image changed at random, each by draws of its own.

    In this order: brightness, contrast, saturation, hue and gamma in random order; rotation, shift and scaling, the
    border continued outwards; blur; mirroring; noise; the result is clipped to [0, 1].

    Args:
        images: (B, 3, S, S) in [0, 1].
        generators: one CPU generator per image.
        padding: how the border is continued, ``edge`` (CoTTA, RoTTA) or ``reflect`` (ROID).
        blur_and_noise: whether they are among the changes (CoTTA, RoTTA) or not (ROID).

    Returns:
        (B, 3, S, S) in [0, 1].
    """
    if len(images) == 0:
        return images
    options = {"padding": padding, "blur_and_noise": blur_and_noise}
    return torch.stack([_augment_one(image, own, **options) for image, own in zip(images, generators, strict=True)])  # type: ignore[arg-type]


def _augment_one(
    image: torch.Tensor, generator: torch.Generator, *, padding: str, blur_and_noise: bool
) -> torch.Tensor:
    image = _jitter(image.clamp(0, 1), generator)
    image = _move(image, generator, padding=padding, blur=blur_and_noise)
    if _uniform(generator, 0, 1) < 0.5:
        image = TF.horizontal_flip(image)
    if blur_and_noise:
        image = image + NOISE_STD * torch.randn(image.shape, generator=generator).to(image)
    return image.clamp(0, 1)


def _jitter(image: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    for change in torch.randperm(5, generator=generator).tolist():
        if change == 0:
            image = TF.adjust_brightness(image, _uniform(generator, *BRIGHTNESS))
        elif change == 1:
            image = TF.adjust_contrast(image, _uniform(generator, *CONTRAST))
        elif change == 2:
            image = TF.adjust_saturation(image, _uniform(generator, *SATURATION))
        elif change == 3:
            image = TF.adjust_hue(image, _uniform(generator, *HUE))
        else:
            image = TF.adjust_gamma(image, _uniform(generator, *GAMMA))
    return image


def _move(image: torch.Tensor, generator: torch.Generator, *, padding: str, blur: bool) -> torch.Tensor:
    side = image.shape[-1]
    margin = side // 2
    image = TF.pad(image, [margin] * 4, padding_mode=padding)
    reach = TRANSLATE * image.shape[-1]
    image = TF.affine(
        image,
        angle=_uniform(generator, *DEGREES),
        translate=[float(round(_uniform(generator, -reach, reach))) for _ in range(2)],
        scale=_uniform(generator, *SCALE),
        shear=[0.0, 0.0],
        interpolation=InterpolationMode.BILINEAR,
    )
    if blur:
        sigma = _uniform(generator, *BLUR_SIGMA)
        image = TF.gaussian_blur(image, [BLUR_KERNEL, BLUR_KERNEL], [sigma, sigma])
    return TF.center_crop(image, [side, side])


def _uniform(generator: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * torch.rand((), dtype=torch.float64, generator=generator).item()
