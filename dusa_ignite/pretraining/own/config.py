"""The schema of training a guide or a classifier for one's own classes."""

from __future__ import annotations

from typing import Any, Literal, Union

from pydantic import Field, JsonValue, ValidationInfo, field_validator

from dusa_ignite.data.labelled_folder import CLASSES, usable_classes
from dusa_ignite.handlers.checkpoint import CheckpointOptions
from dusa_ignite.handlers.tracking_options import TrackingOptions
from dusa_ignite.models.guides.families import FAMILIES, find_family
from dusa_ignite.models.guides.load import Variant
from dusa_ignite.models.guides.times import TIMES, LogitNormalTime
from dusa_ignite.models.guides.vae import DOWNSAMPLING, VaeOptions
from dusa_ignite.models.guides.variants import VARIANTS
from dusa_ignite.pretraining.config import below_iterations
from dusa_ignite.utils.section import PathText, Section


class OwnData(Section):
    """Clean images in one folder per class."""

    root: PathText = Field(min_length=1, description="folder of <class>/<image>")
    classes: PathText | tuple[str, ...] | None = Field(default=None, description=CLASSES)
    validation_root: PathText | None = Field(
        default=None, min_length=1, description="folder of held-out images, like root; null = a share of root"
    )
    validation_share: float = Field(
        default=0.1, gt=0, lt=1, description="of every class, held out where there is no validation_root; in (0, 1)"
    )
    memory_gb: float = Field(default=2.0, ge=0, description="keep decoded images in memory if they fit, >= 0")

    @field_validator("classes", mode="before")
    @classmethod
    def _are_names(cls, value: Any) -> Any:
        return usable_classes(value)


class OwnAugment(Section):
    """What a training image undergoes, anew each time it is shown; the same for guide and classifier."""

    flip: bool = Field(default=False, description="mirror left and right, half of the time; not for text or digits")
    crop: float = Field(
        default=0.1, ge=0, le=0.9, description="up to this share of each side is cut off, the rest resized; 0 = off"
    )
    brightness: float = Field(default=0.2, ge=0, le=1, description="up to this is added or taken off; 0 = off")
    contrast: float = Field(
        default=0.5, ge=0, le=1, description="the distance from the mean is lowered by up to this share; 0 = off"
    )


class OwnVae(VaeOptions):
    """The autoencoder whose latents a guide works on, and how they are kept."""

    pretrained: PathText | None = Field(
        default=None, min_length=1, description="hub id or folder in diffusers' format; null = pixel space"
    )
    views: int = Field(
        default=4, ge=1, le=1000, description="augmented views of every image, encoded once; >= 1, 1 if none is on"
    )
    cache: PathText | None = Field(
        default=None, min_length=1, description="folder of the encoded images; null = latents in output_dir"
    )


class Init(Section):
    """A guide that was trained on other classes, to begin with."""

    checkpoint: PathText = Field(min_length=1, description="weights file, folder, hub:<repo>:<file>, or embedded")
    keep: Literal["all", "all_but_classes"] = Field(
        default="all_but_classes", description="all_but_classes = new classes; all = go on with the same ones"
    )


class OwnTransformer(Section):
    """The guide: a class-conditional transformer, predicting the velocity of the linear path unless fine-tuned."""

    family: Literal[tuple(family.name for family in FAMILIES)] = Field(  # type: ignore[valid-type]
        default="repa", description="names and conventions; from scratch repa, else those of init.checkpoint"
    )
    path: str | None = Field(default=None, description="noising path, one of the family's; null = its first")
    variant: Variant | None = Field(default=None, description="size and patch; null = the four sizes below")
    patch_size: int = Field(default=2, ge=1, le=1024, description="latents or pixels; without a variant")
    hidden_size: int = Field(
        default=192, ge=4, le=16384, multiple_of=4, description="width, a multiple of 4 and of num_heads"
    )
    depth: int = Field(default=6, ge=1, le=1000, description="blocks")
    num_heads: int = Field(default=6, ge=1, le=1024, description="attention heads")
    class_dropout: float = Field(default=0.1, ge=0, le=1, description="share of images shown without their class")
    class_std: float = Field(
        default=0.5, gt=0, description="standard deviation of the class embeddings at the start, from scratch"
    )
    time: Union[TIMES] = Field(  # type: ignore[valid-type]  # noqa: UP007 - a tuple to unpack
        default=LogitNormalTime(name="logit_normal"),
        discriminator="name",
        description="noise levels trained on; 0 = data, 1 = noise",
    )

    @field_validator("path")
    @classmethod
    def _of_family(cls, value: str | None, info: ValidationInfo) -> str | None:
        if value is not None and "family" in info.data:
            paths = find_family(info.data["family"]).paths
            if value not in paths:
                raise ValueError(f"{value!r} is not allowed; allowed for {info.data['family']}: {' | '.join(paths)}")
        return value

    @field_validator("num_heads")
    @classmethod
    def _heads_divide_width(cls, value: int, info: ValidationInfo) -> int:
        width = info.data.get("hidden_size")
        if width and info.data.get("variant") is None and width % value:
            raise ValueError(f"{value} is not allowed; allowed: a divisor of hidden_size ({width})")
        return value

    @property
    def sizes(self) -> dict[str, int]:
        """``patch_size``, ``hidden_size``, ``depth`` and ``num_heads``, the variant's or the given ones."""
        names = ("patch_size", "hidden_size", "depth", "num_heads")
        return (
            dict(zip(names, VARIANTS[self.variant], strict=True))
            if self.variant
            else self.model_dump(include=set(names))
        )

    @property
    def path_name(self) -> str:
        """Of the noising path."""
        return self.path or find_family(self.family).default_path


class OwnClassifier(Section):
    """A timm classifier, trained with cross-entropy."""

    name: str = Field(default="resnet18", min_length=1, description="any timm name")
    pretrained: bool = Field(default=False, description="begin with timm's weights for this name, but a new last layer")
    options: dict[str, JsonValue] = Field(default={}, description="further keyword arguments of timm.create_model")
    label_smoothing: float = Field(default=0.05, ge=0, lt=1, description="share spread over all classes, in [0, 1)")


class OwnTraining(Section):
    """AdamW with warm-up and cosine decay; what is kept are averaged weights."""

    iterations: int = Field(ge=1, description="updates, >= 1")
    batch_size: int = Field(default=64, ge=1, le=65536, description="images per update, over all processes; >= 1")
    lr: float = Field(gt=0, description="highest learning rate, > 0")
    warmup: int = Field(default=100, ge=0, description="updates over which the learning rate rises, below iterations")
    weight_decay: float = Field(default=0.0, ge=0, description="AdamW's, >= 0")
    clip_norm: float | None = Field(default=1.0, gt=0, description="longest gradient, > 0; null = any")
    ema_decay: float = Field(default=0.999, ge=0, lt=1, description="of the averaged weights, per update; in [0, 1)")
    precision: Literal["auto", "float32", "float64", "bfloat16"] = Field(
        default="auto", description="auto = bfloat16 on GPUs that have it, else float32"
    )

    @field_validator("warmup")
    @classmethod
    def _shorter(cls, value: int, info: ValidationInfo) -> int:
        return below_iterations(value, info)


class OwnValidation(Section):
    """How good the averaged model is, on held-out images."""

    every: int = Field(default=1000, ge=1, description="updates between validations, >= 1; one more at the end")
    images: int = Field(
        default=200, ge=1, description="held-out images looked at, evenly over the classes; at most all"
    )
    candidates: int = Field(
        default=10, ge=2, description="classes a guide chooses among, the true one with others drawn; at most all"
    )
    samples: int = Field(default=4, ge=0, le=100, description="images drawn per class, for the first 10; 0 = none")
    steps: int = Field(default=50, ge=1, le=1000, description="of Euler's method for these images, >= 1")


class OwnConfig(Section):
    """One training, of a guide or of a classifier."""

    what: Literal["guide", "classifier"] = Field(description="what is trained: guide | classifier")
    output_dir: PathText = Field(min_length=1, description="folder of the weights and all that is told of them")
    seed: int = Field(default=2024, ge=0, lt=2**32, description="of everything random")
    num_threads: int | None = Field(default=None, ge=1, le=1024, description="CPU threads; null = torch's choice")
    log_every_seconds: float = Field(default=10.0, gt=0, description="seconds between progress lines, > 0")
    resume: Literal["never", "auto"] = Field(default="never", description="auto = go on with an unfinished training")
    data: OwnData = Field(description="clean labelled images")
    image_size: int = Field(ge=1, le=4096, description="pixels, side of the square that the model sees")
    augment: OwnAugment = Field(default=OwnAugment(), description="of the training images")
    vae: OwnVae = Field(default=OwnVae(), description="of a guide in latent space")
    init: Init | None = Field(default=None, description="what a guide begins with; null = from scratch")
    transformer: OwnTransformer = Field(default=OwnTransformer(), description="the guide")
    classifier: OwnClassifier = Field(default=OwnClassifier(), description="the classifier")
    training: OwnTraining = Field(description="how it is trained")
    validation: OwnValidation = Field(default=OwnValidation(), description="how it is measured")
    checkpoint: CheckpointOptions = Field(default=CheckpointOptions(), description="when it is saved")
    tracking: TrackingOptions = Field(default=TrackingOptions(), description="where it can be watched")
    timeout_minutes: float = Field(
        default=10.0, gt=0, le=100_000, description="a process that waits longer for others fails, > 0"
    )

    @field_validator("transformer")
    @classmethod
    def _fits(cls, value: OwnTransformer, info: ValidationInfo) -> OwnTransformer:
        if info.data.get("what") != "guide" or "image_size" not in info.data or "vae" not in info.data:
            return value
        unit = value.sizes["patch_size"] * (DOWNSAMPLING if info.data["vae"].pretrained else 1)
        if info.data["image_size"] % unit:
            raise ValueError(f"patches of {unit} pixels do not divide image_size {info.data['image_size']}")
        if info.data.get("init", "failed") is None and value.family != "repa":
            raise ValueError(f"family {value.family} needs init.checkpoint; from scratch it is repa")
        return value
