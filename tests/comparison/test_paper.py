"""The paper's numbers, and runs beside them."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.written_runs import ROOT, SEGMENTS, write_run, write_segmentation_run

from dusa_ignite.comparison.paper import COLUMNS, compare_with_paper, paper_rows
from dusa_ignite.data.imagenet_c import BENCHMARK_CORRUPTIONS
from dusa_ignite.errors import DataError

CONVNEXT = ROOT / "configs" / "convnext_dit.yaml"
OVERRIDES = ["data.root=/somewhere", "transformer.checkpoint=random"]


def test_rows() -> None:
    rows = {row[:3]: row.scores for row in paper_rows()}
    assert len(rows) == 27 + 8 + 5
    assert rows["1 fully", "ConvNeXt-L", "DUSA"]["avg"] == 66.2
    assert rows["1 fully", "ConvNeXt-L", "DUSA"]["fog"] == 72.7
    assert rows["2 continual", "ConvNeXt-L", "Tent"]["elastic"] == 23.4
    assert rows["3 ADE20K-C mIoU", "SegFormer-B5", "DUSA"]["zoom"] == 12.5
    for scores in rows.values():  # the columns are in their right places
        assert sum(scores[name] for name in COLUMNS) / 15 == pytest.approx(scores["avg"], abs=0.1)


def test_without_runs() -> None:
    text = compare_with_paper([])
    titles = [line.split("  ")[0] for line in text.splitlines() if line.startswith(("1 ", "2 ", "3 "))]
    assert titles == [
        "1 fully, ResNet50-GN",
        "1 fully, ViT-B/16",
        "1 fully, ConvNeXt-L",
        "2 continual, ConvNeXt-L",
        "3 ADE20K-C mIoU, SegFormer-B5",
    ]
    assert "arXiv 2501.00873" in text


def lines_of(text: str, table: str) -> list[list[str]]:
    lines = text.partition(table)[2].splitlines()
    return [line.split() for line in lines[: lines.index("") if "" in lines else None]]


def test_a_whole_run_beside_its_line(tmp_path: Path) -> None:
    tasks = {f"{name}/5": "+++-" for name in BENCHMARK_CORRUPTIONS}  # 75 % everywhere
    run = write_run(tmp_path / "try", tasks, method="dusa", config=CONVNEXT, overrides=OVERRIDES)
    lines = lines_of(compare_with_paper([run]), "1 fully, ConvNeXt-L")
    place = next(number for number, line in enumerate(lines) if line[:1] == ["DUSA"])
    assert lines[place + 1] == ["try", "(4", "images)", *["75.0"] * 16]
    gaps = "+10.8 +9.5 +9.4 +20.3 +21.4 +11.2 +13.1 +4.9 +8.4 +2.3 -4.7 +6.1 +8.9 +4.3 +5.7 +8.8"
    assert lines[place + 2] == ["minus", "paper", *gaps.split()]


def test_part_of_a_run(tmp_path: Path) -> None:
    options = [*OVERRIDES, "setting=continual"]
    folder = tmp_path / "comparison"
    write_run(folder / "try", {"fog/5": "+-", "fog/4": "++"}, config=CONVNEXT, overrides=options)
    lines = lines_of(compare_with_paper([folder]), "2 continual, ConvNeXt-L")
    place = next(number for number, line in enumerate(lines) if line[:1] == ["Source"])
    assert lines[place + 1][3:] == [*"-" * 9, "50.0", *"-" * 6]  # no average of some
    assert lines[place + 2][2:] == [*"-" * 9, "+2.0", *"-" * 6]


def test_runs_of_a_comparison_that_are_not_in_the_tables_are_named(tmp_path: Path) -> None:
    folder = tmp_path / "comparison"
    for name in ("source", "lame"):
        write_run(folder / name, {"fog/5": "+-"}, method=name, config=CONVNEXT, overrides=OVERRIDES)
    text = compare_with_paper([folder])
    assert text.splitlines()[-1].startswith(
        f"{folder / 'lame'}: the paper has no line for setting fully, convnext_large"
    )
    assert [line[0] for line in lines_of(text, "1 fully, ConvNeXt-L") if line[:1] == ["source"]] == ["source"]


def test_what_has_no_place(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nothing: holds no finished run"):
        compare_with_paper([tmp_path / "nothing"])
    with pytest.raises(DataError, match=r"not a run on ImageNet-C or ADE20K-C at severity 5 \(data digits\)"):
        compare_with_paper([write_run(tmp_path / "digits", {"fog/5": "+-"})])
    mild = write_run(tmp_path / "mild", {"fog/3": "+-"}, config=CONVNEXT, overrides=OVERRIDES)
    with pytest.raises(DataError, match="not a run on ImageNet-C or ADE20K-C at severity 5"):
        compare_with_paper([mild])
    options = [*OVERRIDES, "classifier.name=resnet18"]
    other = write_run(tmp_path / "other", {"fog/5": "+-"}, config=CONVNEXT, overrides=options)
    with pytest.raises(DataError, match=r"no line for setting fully, resnet18, source on ImageNet-C \(classif.*"):
        compare_with_paper([other])
    options = [*OVERRIDES, "classifier.name=vit_base_patch16_224.augreg_in1k", "setting=continual"]
    missing = write_run(tmp_path / "missing", {"fog/5": "+-"}, config=CONVNEXT, overrides=options)
    with pytest.raises(DataError, match="table 2 continual of the paper has no Source with ViT-B/16"):
        compare_with_paper([missing])


B5 = "transformers:nvidia/segformer-b5-finetuned-ade-640-640"
ADE20K_C = ["data={name: ade20k_c, root: /somewhere}", f"classifier.name={B5}", "classifier.num_classes=150"]


def test_segmentation_beside_its_line(tmp_path: Path) -> None:
    tasks = {f"{name}/5": ["aabb:aaab", "ab:aa"] for name in BENCHMARK_CORRUPTIONS}  # IoU 3/5 and 1/3
    for method in ("source", "bn", "tent", "pixel_cotta", "window_dusa"):
        write_segmentation_run(tmp_path / f"my_{method}", tasks, method=method, overrides=ADE20K_C)
    lines = lines_of(compare_with_paper([tmp_path]), "3 ADE20K-C mIoU, SegFormer-B5")
    runs = [line[0] for line in lines if line[1:3] == ["(2", "images)"]]
    assert runs == ["my_source", "my_bn", "my_tent", "my_pixel_cotta", "my_window_dusa"]
    place = next(number for number, line in enumerate(lines) if line[:1] == ["DUSA"])
    assert lines[place + 1] == ["my_window_dusa", "(2", "images)", *["46.7"] * 16]
    gaps = "+23.1 +22.2 +23.5 +22.0 +23.5 +22.0 +34.2 +19.4 +20.0 +7.4 +4.1 +19.6 +16.1 +11.0 +11.1 +18.6"
    assert lines[place + 2] == ["minus", "paper", *gaps.split()]


@pytest.mark.parametrize("name", ["/models/SegFormer_B5-ade/", "/hub/models--nvidia--segformer-b5-x/snapshots/1a2b"])
def test_a_folder_is_known_by_its_name(tmp_path: Path, name: str) -> None:
    options = [*ADE20K_C, f"classifier.name=transformers:{name}"]
    run = write_segmentation_run(tmp_path / "mine", {"fog/5": ["ab:ab"]}, overrides=options)
    assert "mine (1 images)" in compare_with_paper([run])


@pytest.mark.parametrize(
    ("overrides", "reason"),
    [
        (
            [*ADE20K_C, "classifier.name=transformers:nvidia/segformer-b0"],
            "the paper has no line for setting fully, transformers:nvidia/segformer-b0, source on ADE20K-C "
            "(classifier.name tells the model: segformer-b5 = SegFormer-B5)",
        ),
        (
            [*ADE20K_C, "setting=continual"],
            f"the paper has no line for setting continual, {B5}, source on ADE20K-C",
        ),
        ([], "not a run on ImageNet-C or ADE20K-C at severity 5 (data mask_folder)"),
    ],
)
def test_segmentation_that_has_no_place(tmp_path: Path, overrides: list[str], reason: str) -> None:
    run = write_segmentation_run(tmp_path / "run", {"fog/5": ["ab:ab"]}, config=SEGMENTS, overrides=overrides)
    with pytest.raises(DataError) as caught:
        compare_with_paper([run])
    assert str(caught.value) == f"{run}: {reason}"
