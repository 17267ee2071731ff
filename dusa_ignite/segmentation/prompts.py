"""The classes as Stable Diffusion hears of them: the text encoder's last hidden states of a sentence for each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from dusa_ignite.errors import CheckpointError, ConfigError
from dusa_ignite.segmentation.extra import loading, transformers_for

PROMPT = "a photo of a {class}"
PLACE = "{class}"


def prompts_of(class_names: Sequence[str], *, prompt: str = PROMPT) -> list[str]:
    """A sentence per class.

    Raises:
        ConfigError: the prompt has no place for the class, or there is no class.
    """
    if PLACE not in prompt:
        raise ConfigError(f"unet.prompt: {prompt!r} has no {PLACE} in it, so all classes would be the same")
    if not class_names:
        raise ConfigError("unet.prompt: the data name no classes to put into it; set data.classes")
    return [prompt.replace(PLACE, name.strip()) for name in class_names]


@torch.no_grad()
def embed_prompts(folder: Path, prompts: Sequence[str], *, source: str) -> torch.Tensor:
    """(classes, tokens, width) float32: CLIP's last hidden states, of all tokens up to the longest a text may have.

    The encoder is loaded for this, used once, and given up.

    Args:
        folder: holds ``tokenizer`` and ``text_encoder``, as Stable Diffusion 1.x does.
        prompts: one per class.
        source: the option and what the user gave, for error messages.

    Raises:
        CheckpointError: they cannot be read, or a sentence is longer than the encoder takes.
        UserError: transformers is not installed.
    """
    transformers = transformers_for(f"{source}: the guide's text encoder")
    try:
        with loading(transformers):
            tokenizer = transformers.CLIPTokenizer.from_pretrained(folder / "tokenizer")
            encoder, report = transformers.CLIPTextModel.from_pretrained(
                folder / "text_encoder", output_loading_info=True
            )
    except Exception as error:  # transformers' errors share no base class
        reason = next(iter(str(error).strip().splitlines()), type(error).__name__)[:200]
        raise CheckpointError(f"{source}: its tokenizer and text_encoder cannot be read ({reason})") from error
    wrong = [*report["missing_keys"], *map(str, report["mismatched_keys"])]
    if wrong:
        raise CheckpointError(
            f"{source}: {len(wrong)} parameters of text_encoder are not in the weights: {', '.join(sorted(wrong)[:3])}"
        )
    longest = encoder.config.max_position_embeddings
    with loading(transformers):
        lengths = [len(ids) for ids in tokenizer(list(prompts)).input_ids]
        tokens = tokenizer(
            list(prompts), padding="max_length", max_length=longest, truncation=True, return_tensors="pt"
        ).input_ids
    if max(lengths) > longest:
        text = prompts[lengths.index(max(lengths))]
        raise CheckpointError(f"{source}: {text!r} has {max(lengths)} tokens, its text encoder takes {longest}")
    return encoder.float().eval()(tokens).last_hidden_state
