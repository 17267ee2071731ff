"""Which runs are made of the command line, and what is refused before any of them starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.files import ROOT
from support.written_runs import DIGITS, SEGMENTS, write_run

from dusa_ignite.comparison.plan import Entry, Plan, make_plan, parse_methods, parse_seeds
from dusa_ignite.config import method_names
from dusa_ignite.errors import ConfigError

KNOWN = method_names(DIGITS)


def plan(**options: Any) -> Plan:
    return make_plan(DIGITS, **{"methods": "source,dusa", "seeds": "0,1", **options})


def test_runs_and_their_folders() -> None:
    made = plan(overrides=["output_dir=out", "name=try", "data.limit=5"])
    assert made.folder == Path("out/try")
    assert made.reference == "dusa"
    assert [(run.label, run.seed, str(run.folder)) for run in made.runs] == [
        ("source", 0, "out/try/source_seed0"),
        ("source", 1, "out/try/source_seed1"),
        ("dusa", 0, "out/try/dusa_seed0"),
        ("dusa", 1, "out/try/dusa_seed1"),
    ]
    for run in made.runs:
        assert (run.config.method.name, run.config.seed, run.config.resume) == (run.label, run.seed, "auto")
        assert run.config.data.limit == 5
    assert plan(output="else/where: here").runs[0].folder == Path("else/where: here/source_seed0")


def test_options_of_one_method() -> None:
    made = plan(methods="dusa,wide=dusa", own_overrides=["wide:method.num_top=6"], reference="wide")
    tops = {run.label: getattr(run.config.method, "num_top", None) for run in made.runs}
    assert tops == {"source": None, "dusa": 4, "wide": 6}
    assert made.reference == "wide"


def test_variants_of_the_file_are_methods_here() -> None:
    made = plan(methods="dusa,dusa_frozen,small=dusa_4_0", own_overrides=["dusa_frozen:method.num_top=3"])
    runs = {run.label: run.config for run in made.runs}
    assert list(runs) == ["source", "dusa", "dusa_frozen", "small"]
    for label, trainable, num_top, num_random in (("dusa_frozen", False, 3, 2), ("small", True, 4, 0)):
        method, transformer = runs[label].method.model_dump(), runs[label].transformer
        assert (method["name"], method["num_top"], method["num_random"]) == ("dusa", num_top, num_random)
        assert transformer is not None
        assert transformer.trainable is trainable
    with pytest.raises(ConfigError, match="dusa_frozen is a method itself; choose another label"):
        plan(methods="dusa_frozen=dusa")


def test_of_segmentation_the_reference_is_the_papers_method() -> None:
    made = make_plan(SEGMENTS, methods="source,window_dusa,tent", seeds="0")
    assert (made.reference, [run.config.problem for run in made.runs]) == ("window_dusa", ["segmentation"] * 3)


def test_source_is_always_there() -> None:
    source = Entry("source", "source")
    assert parse_methods("dusa, x=dusa,", known=KNOWN) == [source, Entry("dusa", "dusa"), Entry("x", "dusa")]
    assert parse_methods("dusa,plain=source", known=KNOWN) == [Entry("dusa", "dusa"), Entry("plain", "source")]
    assert plan(methods="source").reference == "source"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sorce", r"--methods: 'sorce' is no method, did you mean source\? \(.*dusa.*\)"),
        ("dusa,dusa", "'dusa' listed twice; label one of them, such as dusa_2=dusa"),
        ("a/b=dusa", "'a/b' cannot be a label"),
        ("source=dusa", "source is a method itself"),
        (",", "none given"),
    ],
)
def test_wrong_methods(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_methods(text, known=KNOWN)


def test_seeds() -> None:
    assert parse_seeds("0, 7,2024") == [0, 7, 2024]
    for text in ("", "a", "1.5", "-1"):
        with pytest.raises(ConfigError, match=r"--seeds: .* allowed: integers >= 0"):
            parse_seeds(text)
    with pytest.raises(ConfigError, match="listed twice"):
        parse_seeds("1,2,1")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overrides": ["seed=1"]}, "override 'seed=1': --seeds gives it"),
        ({"overrides": ["method.name=dusa"]}, "--methods gives it"),
        ({"overrides": ["method={name: dusa}"]}, "--methods gives it"),
        ({"own_overrides": ["dusa:name=x"]}, "--output gives it"),
        ({"own_overrides": ["optimizer.lr=1"]}, "write method:section.key=value"),
        ({"own_overrides": ["x:optimizer.lr=1"]}, r"'x' is not among the methods; allowed: source \| dusa"),
        ({"reference": "x"}, r"--reference: 'x' is not among the methods; allowed: source \| dusa"),
        ({"overrides": ["data.limt=1"]}, r"^override data.limt=1: data.limt: unknown key; did you mean data.limit\?$"),
    ],
)
def test_wrong_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(**options)


def test_an_option_that_some_methods_do_not_have() -> None:
    with pytest.raises(ConfigError, match=r"^source: override method.num_top=3.* --set <method>:method.num_top=3$"):
        plan(overrides=["method.num_top=3"])


def test_runs_with_another_config_are_not_reused(tmp_path: Path) -> None:
    options: dict[str, Any] = {"overrides": [f"output_dir={tmp_path}", "data.limit=4"]}
    write_run(tmp_path / "digits" / "source_seed0", {"fog/5": "++++"}, overrides=["data.limit=4"])
    assert len(plan(**options).runs) == 4
    options["overrides"][1] = "data.limit=5"
    with pytest.raises(ConfigError, match=r"source_seed0: .*data.limit: 4 before, 5 now; .* give --overwrite"):
        plan(**options)
    assert len(plan(**options, overwrite=True).runs) == 4


def test_methods_of_the_users_own_are_rows_like_others(tmp_path: Path) -> None:
    reference = str(ROOT / "docs" / "examples" / "my_method.py") + ":MyMethod"
    overrides = [f"output_dir={tmp_path}", "classifier.trainable=norm"]
    plan = make_plan(DIGITS, methods=f"{reference},mine={reference}", seeds="0", overrides=overrides)
    assert [run.label for run in plan.runs] == ["source", "MyMethod", "mine"]
    assert plan.runs[1].config.method.name == plan.runs[2].config.method.name == reference


def test_all_methods_are_scored_over_the_same_classes(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^data\.score_over: must be the same for all methods; give it without --set"
    ):
        plan(output=tmp_path, own_overrides=["dusa:data.score_over=present"])
