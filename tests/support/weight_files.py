"""A small vision transformer of torchvision, the same one in timm, and its weights as people save them."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision.models import VisionTransformer

NAME = "vit_tiny_patch16_224"
OPTIONS = {"patch_size": 8, "embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32}
CLASSES = 5
Weights = dict[str, torch.Tensor]


def torchvision_model() -> nn.Module:
    """With random weights that half precision holds exactly."""
    torch.manual_seed(3)
    model = VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=32, mlp_dim=128, num_classes=CLASSES
    )
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
        parameter.data = parameter.data.half().float()
    return model.eval()


def timm_weights() -> Weights:
    """The same weights under timm's names, translated by hand."""
    old = torchvision_model().state_dict()
    new = {"cls_token": old["class_token"], "pos_embed": old["encoder.pos_embedding"]}
    for kind in ("weight", "bias"):
        new |= {
            f"patch_embed.proj.{kind}": old[f"conv_proj.{kind}"],
            f"norm.{kind}": old[f"encoder.ln.{kind}"],
            f"head.{kind}": old[f"heads.head.{kind}"],
        }
        for block in range(2):
            layer = f"encoder.layers.encoder_layer_{block}"
            new |= {
                f"blocks.{block}.norm1.{kind}": old[f"{layer}.ln_1.{kind}"],
                f"blocks.{block}.norm2.{kind}": old[f"{layer}.ln_2.{kind}"],
                f"blocks.{block}.attn.qkv.{kind}": old[f"{layer}.self_attention.in_proj_{kind}"],
                f"blocks.{block}.attn.proj.{kind}": old[f"{layer}.self_attention.out_proj.{kind}"],
                f"blocks.{block}.mlp.fc1.{kind}": old[f"{layer}.mlp.0.{kind}"],
                f"blocks.{block}.mlp.fc2.{kind}": old[f"{layer}.mlp.3.{kind}"],
            }
    return new


def prefixed(weights: Weights, prefix: str) -> Weights:
    return {prefix + name: value for name, value in weights.items()}


def zeros(weights: Weights) -> Weights:
    return {name: torch.zeros_like(value) for name, value in weights.items()}


def timm_config(**more: Any) -> dict[str, Any]:
    cfg = {"input_size": [3, 32, 32], "mean": [0.5] * 3, "std": [0.5] * 3, "crop_pct": 0.9, "fixed_input_size": True}
    cfg |= {"interpolation": "bicubic", "num_classes": CLASSES, "url": "https://example.org/weights.pth"}
    return {"architecture": NAME, "num_classes": CLASSES, "model_args": OPTIONS, "pretrained_cfg": cfg, **more}


def write_file(content: Any) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        torch.save(content, folder / "weights.pth")
        return folder / "weights.pth"

    return write


def write_folder(weights: Weights, config: dict[str, Any]) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        save_file(weights, folder / "model.safetensors")
        (folder / "config.json").write_text(json.dumps(config))
        return folder

    return write


def ten_ways() -> dict[str, Callable[[Path], Path]]:
    """Names of ways to save the same classifier, each with what writes it into a folder and returns its path."""
    weights = timm_weights()
    optimizer = {"state": {0: {"step": torch.tensor(3.0), "exp_avg": torch.zeros(2)}}, "param_groups": [{"lr": 0.1}]}
    training = {
        "epoch": 3,
        "arch": NAME,
        "optimizer": optimizer,
        "version": 2,
        "args": argparse.Namespace(model=NAME, lr=0.1, output=Path("out")),
        "metric": np.float64(71.5),
        "amp_scaler": {"scale": 65536.0},
    }
    lightning = {
        "epoch": 3,
        "global_step": 10,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": prefixed(weights, "model."),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.7)}},
        "optimizer_states": [optimizer],
        "lr_schedulers": [],
        "hyper_parameters": {"lr": 0.1, "seed": np.int64(3)},
    }
    return {
        "timm": write_file(weights),
        "timm train": write_file({"state_dict": weights, **training}),
        "EMA": write_file({"state_dict": zeros(weights), "state_dict_ema": weights, **training}),
        "DDP": write_file({"model": prefixed(weights, "module."), "epoch": 3}),
        "compiled": write_file(prefixed(weights, "module._orig_mod.")),
        "Lightning": write_file(lightning),
        "HF folder": write_folder(prefixed(weights, "timm_model."), timm_config(model_type="timm_wrapper")),
        "timm local-dir": write_folder(weights, timm_config()),
        "half precision": write_file({name: value.half() for name, value in weights.items()}),
        "torchvision": write_file(torchvision_model().state_dict()),
    }


def timm_model(weights: Weights) -> nn.Module:
    model = timm.create_model(NAME, num_classes=CLASSES, **OPTIONS)
    model.load_state_dict(weights)
    return model.eval()
