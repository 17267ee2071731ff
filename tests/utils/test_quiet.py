"""What libraries say while weights are fetched."""

from __future__ import annotations

import logging
import warnings

import pytest
from diffusers import AutoencoderKL

from dusa_ignite.errors import CheckpointError
from dusa_ignite.models.guides import vae
from dusa_ignite.models.weights import places
from dusa_ignite.utils.quiet import LIBRARIES, quiet


def chatter() -> None:
    for name in LIBRARIES:
        logging.getLogger(f"{name}.some.module").error("retrying")
    warnings.warn("cannot reach the hub", stacklevel=1)


def test_libraries_are_silent_within_and_heard_again_behind(caplog: pytest.LogCaptureFixture) -> None:
    with quiet():
        chatter()  # a warning would fail the test
    assert caplog.messages == []
    logging.getLogger("timm.some.module").error("heard")
    assert caplog.messages == ["heard"]
    with pytest.warns(UserWarning, match="seen"):
        warnings.warn("seen", stacklevel=1)


def test_levels_come_back_after_an_error() -> None:
    before = [logging.getLogger(name).level for name in LIBRARIES]
    with pytest.raises(OSError, match="no route"), quiet():
        raise OSError("no route")
    assert [logging.getLogger(name).level for name in LIBRARIES] == before


def test_fetching_is_quiet(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    def fetch(*_: object, **__: object) -> None:
        chatter()
        raise OSError("no route")

    monkeypatch.setattr(places, "hf_hub_download", fetch)
    monkeypatch.setattr(AutoencoderKL, "from_pretrained", fetch)
    with pytest.raises(CheckpointError, match="could not be downloaded"):
        places.locate("hub:owner/name:file.pt", key="k")
    with pytest.raises(CheckpointError, match="nor could it be downloaded"):
        vae.load_vae("owner/name")
    assert caplog.messages == []
