"""A guide for one's own classes: what it learns from, its loss, how it is measured and written."""

from __future__ import annotations

import logging
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import ignite.distributed as idist
import numpy as np
import torch
from torch import nn

from dusa_ignite.models.guides import Guide, NoisingPath, find_family, load_vae
from dusa_ignite.models.metadata import save_described
from dusa_ignite.models.precision import autocast_dtype, model_dtype
from dusa_ignite.models.views import guide_view
from dusa_ignite.models.weights import weights_sha256
from dusa_ignite.pretraining.own import files
from dusa_ignite.pretraining.own.augment import augmented, is_on
from dusa_ignite.pretraining.own.config import OwnConfig
from dusa_ignite.pretraining.own.curve import Curve, measure_curve
from dusa_ignite.pretraining.own.guide_yaml import guide_sections
from dusa_ignite.pretraining.own.images import Split, ViewedImages, evenly
from dusa_ignite.pretraining.own.initial import initial_transformer
from dusa_ignite.pretraining.own.latents import cached_latents
from dusa_ignite.pretraining.own.pictures import plot_curves
from dusa_ignite.pretraining.own.samples import draw_samples, to_images, write_grid
from dusa_ignite.utils.durable import write_text
from dusa_ignite.utils.seeding import derive_seed

logger = logging.getLogger(__name__)

SHOWN_CLASSES = 10  # of the grid of samples


class GuideSubject:
    """See :class:`dusa_ignite.pretraining.own.subject.Subject`.

    Args:
        config: the whole.
        split: the images.
        folder: of the outputs; latents lie there unless ``vae.cache`` says else.
    """

    def __init__(self, config: OwnConfig, split: Split, *, folder: Path) -> None:
        self.config = config
        self.split = split
        self.classes, self.count = split.classes, len(split.training)
        self.dtype = model_dtype(config.training.precision)
        self.path: NoisingPath = find_family(config.transformer.family).paths[config.transformer.path_name]
        self.draw_time = config.transformer.time.sampler()  # type: ignore[attr-defined]
        torch.manual_seed(derive_seed(config.seed, "weights"))
        in_latents = config.vae.pretrained is not None
        self.model: nn.Module = initial_transformer(
            config.transformer,
            config.init,
            num_classes=len(self.classes),
            image_size=config.image_size,
            in_latents=in_latents,
            classes=split.classes,
        ).to(idist.device(), self.dtype)
        self.vae = (
            load_vae(str(config.vae.pretrained), decodes=True).to(idist.device(), self.dtype) if in_latents else None
        )
        self.origins: dict[str, Any] = {
            "images": split.fingerprint(),
            "classes": list(self.classes),
            "initial_weights": weights_sha256(self.model),
            "vae": weights_sha256(self.vae) if self.vae is not None else None,
        }
        memory = 0 if in_latents else config.data.memory_gb * 2**30  # latents are made once, then images are done with
        self.training = ViewedImages(split.training, view=self._view, size=config.image_size, kept_bytes=memory)
        self.held_out = ViewedImages(split.held_out, view=self._view, size=config.image_size, kept_bytes=0)
        self.latents = self._latents(folder, self.training, "training") if in_latents else None
        chosen = evenly(split.held_out.labels.tolist(), config.validation.images)
        self.clean_labels = self.held_out.labels[chosen]
        self.clean = self._clean(folder, chosen).to(self.dtype)

    def _view(self, image: torch.Tensor) -> torch.Tensor:
        return (guide_view(image, size=self.config.image_size)[0] + 1) / 2

    def _latents(self, folder: Path, images: ViewedImages, name: str) -> np.ndarray:
        vae, augment = self.config.vae, self.config.augment
        is_augmented = images is self.training and is_on(augment)
        return cached_latents(
            images,
            guide=self._guide(self.model, vae=self.vae),
            folder=Path(vae.cache) if vae.cache else folder / files.LATENTS,
            name=name,
            augment=augment if is_augmented else None,
            views=vae.views if is_augmented else 1,
            seed=self.config.seed,
            origin={
                "vae": self.origins["vae"],
                "scaling_factor": vae.scaling_factor,
                "image_size": self.config.image_size,
                "files": f"{images.files.fingerprint()} {images.files.times()}",
                "precision": str(autocast_dtype(self.config.training.precision)),
            },
        )

    def _clean(self, folder: Path, chosen: list[int]) -> torch.Tensor:
        """x0 (N, C, H, W) of the held-out images that are looked at."""
        if self.vae is not None:
            return torch.from_numpy(self._latents(folder, self.held_out, "held_out")[chosen, 0])
        return self.held_out.read(chosen) / 255 * 2 - 1

    def _guide(self, transformer: nn.Module, *, vae: Any = None) -> Guide:
        """The guide around a transformer; its VAE is left out where latents are at hand."""
        return Guide(
            transformer,
            path=self.path,
            image_size=self.config.image_size,
            vae=vae,
            scaling_factor=self.config.vae.scaling_factor,
            autocast_dtype=autocast_dtype(self.config.training.precision),
        )

    def load(self, indices: list[int], generators: list[torch.Generator]) -> dict[str, Any]:
        """Clean images or latents ``x0``, ``noise``, times ``t``, and ``labels``, of which some stand for no class."""
        labels = self.training.labels[indices].clone()
        x0 = self._shown(indices, generators)
        dropped = [torch.rand((), generator=generator).item() for generator in generators]
        labels[torch.tensor(dropped) < self.config.transformer.class_dropout] = len(self.classes)
        times = [self.draw_time(generator) for generator in generators]
        noise = [torch.randn(x0.shape[1:], generator=generator) for generator in generators]
        return {
            "x0": x0.to(self.dtype),
            "noise": torch.stack(noise).to(self.dtype) if noise else x0.to(self.dtype),
            "t": torch.tensor(times, dtype=self.dtype),
            "labels": labels,
        }

    def _shown(self, indices: list[int], generators: list[torch.Generator]) -> torch.Tensor:
        if self.latents is not None:
            views = self.latents.shape[1]
            chosen = [int(torch.randint(views, (), generator=generator)) for generator in generators]
            return torch.from_numpy(self.latents[indices, chosen])
        pixels = self.training.read(indices) / 255
        if not indices:
            return pixels
        pairs = zip(pixels, generators, strict=True)
        return torch.stack([augmented(image, self.config.augment, generator) for image, generator in pairs]) * 2 - 1

    def losses(self, batch: dict[str, Any]) -> torch.Tensor:
        """(B,) mean squared errors of what the path's prediction is, at one noise and one time per image."""
        x_t, target, model_time = self.path(batch["x0"], batch["noise"], batch["t"])
        with self._autocast():
            predicted = self.model(x_t, model_time, batch["labels"])
        return (predicted.to(self.dtype) - target).square().mean(dim=(1, 2, 3))

    def _autocast(self) -> AbstractContextManager:
        half = autocast_dtype(self.config.training.precision)
        return torch.autocast(idist.device().type, dtype=half, enabled=half is not None)

    def measure(self, average: nn.Module, update: int, folder: Path) -> dict[str, Any]:
        """The :class:`Curve` as plain JSON; in the first process also the pictures."""
        curve = measure_curve(
            self._guide(average),
            self.clean,
            self.clean_labels,
            classes=len(self.classes),
            candidates=self.config.validation.candidates,
            seed=self.config.seed,
        )
        if idist.get_rank() == 0:
            self._tell(curve, update)
            plot_curves(folder / files.CURVE, curve, update=update)
            if self.config.validation.samples:
                self._draw(average, folder / files.SAMPLES.format(update))
        return curve.as_dict()

    def pictures(self, update: int, folder: Path) -> dict[str, Path]:
        """Accuracy by noise level, and the samples of this update."""
        return {"accuracy_by_t": folder / files.CURVE, "samples": folder / files.SAMPLES.format(update)}

    def _tell(self, curve: Curve, update: int) -> None:
        logger.info(
            "update %d: the guide as a classifier of %d held-out images, %d candidates, chance %.1f %%:\n%s",
            update,
            curve.images,
            curve.candidates,
            100 * curve.chance,
            curve.lines(),
        )
        best = f"{100 * max(curve.accuracy):.1f} +- {100 * curve.margin:.1f} %"
        if curve.tells_classes_apart:
            logger.info("best at t = %g: %s; use time.t: %g", curve.best_t, best, curve.best_t)
        else:
            logger.warning("no better than chance so far: %s at t = %g", best, curve.best_t)

    def _draw(self, average: nn.Module, path: Path) -> None:
        guide, options = self._guide(average, vae=self.vae), self.config.validation
        rows = []
        for label, name in enumerate(self.classes[:SHOWN_CLASSES]):
            x0 = draw_samples(
                guide, label, count=options.samples, steps=options.steps, seed=self.config.seed, dtype=self.dtype
            )
            rows.append((name, to_images(x0, vae=self.vae, scaling_factor=self.config.vae.scaling_factor)))
        write_grid(path, rows)

    def write(self, average: nn.Module, measured: dict[str, Any], folder: Path) -> None:
        """The averaged weights, and the sections that a run's config needs to use them."""
        weights = {name: value.float().cpu() for name, value in average.state_dict().items()}
        described = {"class_names": list(self.classes), "num_classes": len(self.classes)}
        save_described(weights, folder / files.TRANSFORMER, description=described)
        write_text(folder / files.GUIDE, guide_sections(self.config, folder, classes=self.classes, measured=measured))
        logger.info("the sections of a run's config: %s", folder / files.GUIDE)
