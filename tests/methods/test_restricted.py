"""Every method with a classifier that is restricted to the present classes."""

from __future__ import annotations

import math

import pytest
import torch

from dusa_ignite.methods import METHODS, Method
from dusa_ignite.methods.dusa import Dusa
from dusa_ignite.methods.eata import Eata
from dusa_ignite.methods.rotta import Rotta
from dusa_ignite.models import Classifier
from dusa_ignite.testing import Run, sharp_classifier, toy_classifier, toy_guide
from dusa_ignite.testing.runs import CONTINUAL
from dusa_ignite.testing.toys import CLASSES, make_batch

COLUMNS = torch.tensor([1, 2, 4, 6])  # of seven classes
SETTINGS = {"eata": {"beta": 0.0}, "dusa": {"num_top": 2, "num_random": 1}, "dusa_u": {"num_top": 2, "num_random": 1}}
FEWER = {"rotta": {"memory_size": 4, "update_every": 4}, "deyo": {"plpd_threshold": -1.0}}


def restricted(classifier: Classifier) -> Classifier:
    classifier.restrict_to(COLUMNS)
    return classifier


class Cut(torch.nn.Module):
    """A last layer that has only these classes: what a restricted classifier should be the same as."""

    def __init__(self, layer: torch.nn.Linear) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(layer.weight[COLUMNS].detach().clone(), requires_grad=False)
        self.bias = torch.nn.Parameter(layer.bias[COLUMNS].detach().clone(), requires_grad=False)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.linear(features, self.weight, self.bias)


def small_head(classifier: Classifier) -> Classifier:
    """The same weights without the other classes' rows of the last layer."""
    head = classifier.backbone.head
    head.fc = Cut(head.fc)
    classifier.num_classes = len(COLUMNS)
    return classifier


def run_of(method: type[Method], classifier: Classifier, restrict_to: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    def guide() -> torch.nn.Module:
        made = toy_guide()
        made.restrict_to(COLUMNS)
        return made

    monkeypatch.setattr("dusa_ignite.testing.runs.toy_guide", guide)
    name = str(method.Options.model_fields["name"].default)
    options = {**SETTINGS.get(name, {}), **FEWER.get(name, {}), "restrict_to": restrict_to}
    if method.source_statistics:
        classifier.batch_norm = "source"
    return Run(method, method.Options(**options), classifier=classifier, lr=0.002)


OF_IMAGES = [method for method in METHODS if "classification" in method.problems]


@pytest.mark.parametrize("method", OF_IMAGES, ids=lambda method: method.__name__)
def test_absent_classes_do_not_exist(method: type[Method], monkeypatch: pytest.MonkeyPatch) -> None:
    """All that a method does is bit for bit what it does with a classifier that never had the other classes."""
    mine = run_of(method, restricted(sharp_classifier()), "present", monkeypatch).meet(CONTINUAL)
    others = run_of(method, small_head(sharp_classifier()), "all", monkeypatch).meet(CONTINUAL)
    for output, expected, (_, _, count) in zip(mine.log, others.log, CONTINUAL, strict=True):
        assert output["y_pred"].shape == (count, len(COLUMNS))
        assert output["y_pred"].isfinite().all()
        torch.testing.assert_close(output["y_pred"], expected["y_pred"])
        assert output["diagnostics"].keys() == expected["diagnostics"].keys()
        assert output["diagnostics"]["skipped_update"] == 0
        assert output["loss"] == pytest.approx(expected["loss"], nan_ok=True)
    if method.trains != "nothing":
        assert any(math.isfinite(output["loss"]) for output in mine.log)  # it has learnt, and not from NaN


def test_the_guide_is_asked_about_the_classes_own_numbers() -> None:
    guide, whole = toy_guide(), toy_guide()
    guide.restrict_to(COLUMNS)
    torch.manual_seed(0)
    x, time = torch.randn(2, 3, 8, 8), torch.tensor([0.3, 0.6])
    asked = torch.tensor([[0, 3], [2, 1]])
    assert torch.equal(guide.predict(x, time, asked), whole.predict(x, time, torch.tensor([[1, 6], [4, 2]])))
    assert torch.equal(guide.predict_unconditional(x, time), whole.predict_unconditional(x, time))
    assert torch.equal(guide.class_embeddings(), whole.class_embeddings()[COLUMNS])


def test_the_classifier_has_only_these_columns() -> None:
    classifier, whole = restricted(toy_classifier()), toy_classifier()
    images = make_batch("fog", 0, 3)["images"] / 255
    assert classifier.num_classes == 4
    assert torch.equal(classifier(images), whole(images)[:, COLUMNS])
    assert torch.equal(classifier.forward_with_features(images)[0], whole.forward_with_features(images)[0][:, COLUMNS])
    assert classifier.state_dict().keys() == whole.state_dict().keys()
    assert whole(images).shape == (3, CLASSES)


def test_thresholds_count_the_present_classes() -> None:
    eata = Eata(Eata.Options(beta=0.0, restrict_to="present"), classifier=restricted(toy_classifier()))
    assert eata.mean_prediction.shape == (4,)
    entropies = torch.tensor([0.4 * math.log(4) - 0.01, 0.4 * math.log(4) + 0.01])
    assert (eata.weigh(torch.zeros(2, 4), entropies) > 0).tolist() == [True, False]  # of seven classes both were


def test_a_classifier_that_was_not_restricted_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a classifier whose restrict_to has been called"):
        Rotta(Rotta.Options(restrict_to="present"), classifier=toy_classifier(batch_norm="source"))
    with pytest.raises(ValueError, match=r"num_top 4 \+ num_random 2 is more than there are classes"):
        Dusa(Dusa.Options(restrict_to="present"), classifier=restricted(toy_classifier()))
    with pytest.raises(ValueError, match="at least two classes, not 1"):
        toy_classifier().restrict_to(torch.tensor([3]))
