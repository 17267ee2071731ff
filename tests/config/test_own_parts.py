"""A user's own parts in a config: their options are checked, printed and read back like those of the package's."""

from __future__ import annotations

import hashlib
import pickle
from pathlib import Path

import pytest
from support.own_parts import forget_imports, write_parts

from dusa_ignite.config import Config, load_config, method_names, own_parts, to_yaml
from dusa_ignite.errors import ConfigError

FILE = """
name: x
data: {name: digits}
classifier: {name: test_convnext, num_classes: 10, trainable: norm}
"""


@pytest.fixture
def parts(tmp_path: Path) -> dict[str, str]:
    return write_parts(tmp_path)


@pytest.fixture
def path(tmp_path: Path, parts: dict[str, str]) -> Path:
    """A config whose method is the user's own."""
    path = tmp_path / "x.yaml"
    path.write_text(FILE + f"method: {{name: {parts['method']}, weight: 2}}\n")
    return path


def line_of(path: Path, *overrides: str) -> str:
    """The error, which has one line."""
    with pytest.raises(ConfigError) as caught:
        load_config(path, overrides)
    (line,) = str(caught.value).splitlines()
    return line


def copy_of(config: Config, folder: Path) -> Config:
    (folder / "copy.yaml").write_text(to_yaml(config))
    return load_config(folder / "copy.yaml")


# What works


def test_a_method_in_the_file(path: Path, parts: dict[str, str], tmp_path: Path) -> None:
    config = load_config(path, ["method.growth=0.25"])
    assert config.method.model_dump() == {"name": parts["method"], "restrict_to": "all", "weight": 2.0, "growth": 0.25}
    assert "  weight: 2.0\n  growth: 0.25\n" in to_yaml(config)
    copies = [copy_of(config, tmp_path), pickle.loads(pickle.dumps(config)), load_config(path, ["method.growth=0.25"])]
    assert copies == [config] * 3
    assert copy_of(config, tmp_path) != load_config(path)
    assert load_config(path, ["method.name=tent"]).method.model_dump() == {"name": "tent", "restrict_to": "all"}


@pytest.mark.parametrize("override", ["method.name={}", "method={{name: {}, weight: 1.0}}", "method={{name: {}}}"])
def test_a_method_as_override(tmp_path: Path, parts: dict[str, str], override: str) -> None:
    (tmp_path / "y.yaml").write_text(FILE + "method: {name: tent}\n")
    config = load_config(tmp_path / "y.yaml", ["method.growth=2", override.format(parts["method"])])
    assert config.method.model_dump() == {"name": parts["method"], "restrict_to": "all", "weight": 1.0, "growth": 2.0}


def test_presets_and_variants(tmp_path: Path, parts: dict[str, str]) -> None:
    name = parts["method"]
    (tmp_path / "y.yaml").write_text(
        FILE
        + "method: {name: tent}\npresets:\n"
        + f"  {name}: {{optimizer: {{lr: 0.5}}, method: {{growth: 0}}}}\n"
        + f"  heavy: {{method: {{name: {name}, weight: 9}}, optimizer: {{lr: 0.25}}}}\n"
    )
    names = method_names(tmp_path / "y.yaml")
    assert (names["heavy"], names[name], names["tent"]) == (name, name, "tent")
    assert load_config(tmp_path / "y.yaml").method.name == "tent"
    own = load_config(tmp_path / "y.yaml", [f"method.name={name}"])
    assert own.method.model_dump() == {"name": name, "restrict_to": "all", "weight": 1.0, "growth": 0.0}
    assert own.optimizer.lr == 0.5
    heavy = load_config(tmp_path / "y.yaml", ["method.name=heavy"])
    assert heavy.method.model_dump() == {"name": name, "restrict_to": "all", "weight": 9.0, "growth": 0.5}
    assert heavy.optimizer.lr == 0.25
    assert copy_of(heavy, tmp_path) == heavy == pickle.loads(pickle.dumps(heavy))
    line = line_of(tmp_path / "y.yaml", "method.name=hevy")
    assert line.endswith(f" | pixel_cotta | {name} | heavy, or path/to/file.py:Name")


def test_by_module_and_relative_to_the_working_directory(
    tmp_path: Path, parts: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "y.yaml").write_text(FILE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("own_method.py:Mine", "own_method:Mine", "dusa_ignite.methods.tent:Tent"):
        config = load_config("y.yaml", [f"method.name={name}"])
        assert config.method.name == name
        assert copy_of(config, tmp_path) == config
        assert len(bytes.fromhex(own_parts(config)[name])) == 32


def test_data_sets_and_families(path: Path, parts: dict[str, str], tmp_path: Path) -> None:
    transformer = f"transformer={{family: {parts['family']}, checkpoint: random, variant: SiT-S/2, num_classes: 10}}"
    config = load_config(path, [f"data.name={parts['data']}", "data.levels=3", "data.batch_size=5", transformer])
    dumped = config.model_dump()
    assert (dumped["data"]["levels"], dumped["data"]["batch_size"], dumped["data"]["num_workers"]) == (3, 5, 0)
    assert dumped["path"] == {"name": "squared"}  # the family's first
    assert copy_of(config, tmp_path) == config == pickle.loads(pickle.dumps(config))
    assert load_config(path, [transformer, "path.name=linear", "method.name=dusa"]).path is not None
    line = line_of(path, transformer, "path.name=cosine", "method.name=dusa")
    assert line.endswith(f"'cosine' does not fit transformer.family {parts['family']}; allowed: squared | linear")


def test_hashes(path: Path, parts: dict[str, str]) -> None:
    def sha256(name: str) -> str:
        return hashlib.sha256(Path(parts[name].rpartition(":")[0]).read_bytes()).hexdigest()

    overrides = [f"data.name={parts['data']}", f"classifier.name={parts['classifier']}"]
    overrides += [f"transformer={{family: {parts['family']}, checkpoint: random, variant: SiT-S/2, num_classes: 10}}"]
    found = own_parts(load_config(path, overrides))
    assert found == {parts[name]: sha256(name if name != "classifier" else "method") for name in parts}
    file = Path(parts["method"].rpartition(":")[0])
    file.write_text(file.read_text() + "\n# changed\n")
    assert own_parts(load_config(path))[parts["method"]] == found[parts["method"]]  # the code that this process runs
    forget_imports()
    assert own_parts(load_config(path))[parts["method"]] == sha256("method") != found[parts["method"]]
    assert own_parts(load_config(path, ["method.name=tent"])) == {}


# What is refused


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("method.wieght=1", "method.wieght: unknown key; did you mean method.weight?"),
        ("method.momentum=1", "method.momentum: unknown key; did you mean optimizer.momentum?"),
        ("method.weight=0", "method.weight: 0 should be greater than 0 (of all images, > 0)"),
        ("method.weight=x", "method.weight: 'x' is text and should be a valid number (of all images, > 0)"),
        ("classifier.trainable=all", "classifier.trainable: 'all' is not allowed; allowed: norm, as method.name={} "
         "learns these"),
        ("data.batch_size=3", "data.batch_size: 3 is not allowed; allowed: >= 4, as method.name={} weighs the images "
         "of a batch against each other"),
    ],
)  # fmt: skip
def test_wrong_options(path: Path, parts: dict[str, str], override: str, said: str) -> None:
    assert line_of(path, override) == f"override {override}: {said.format(parts['method'])}"


def test_needs_are_checked_even_where_options_are_wrong(path: Path, parts: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(path, ["method.weight=0", "data.batch_size=3"])
    weight, batch = str(caught.value).splitlines()
    assert weight.startswith("override method.weight=0: method.weight: 0 should be")
    assert f"as method.name={parts['method']} weighs" in batch


def test_options_of_another_part(path: Path, parts: dict[str, str]) -> None:
    line = line_of(path, "method.name=tent", "method.growth=1")
    assert line.endswith(f"method.growth: unknown key here; it belongs to method.name={parts['method']}")
    line = line_of(path, "data.levels=3", f"method={{name: {parts['method']}}}")
    assert line.startswith("override data.levels=3: data.levels: unknown key")


@pytest.mark.parametrize("key", ["method.name", "data.name", "transformer.family"])
@pytest.mark.parametrize(
    ("source", "name", "said"),
    [
        (None, "Mine", "there is no file {file}"),
        ("Other = 5", "Mine", "{file} has no Mine"),
        ("def f(:\n    pass\n", "Mine", "{file} cannot be imported (SyntaxError: invalid syntax (wrong.py, line 1)); "
         "mend it, or write path/to/file.py:Name or package.module:Name"),
        ("raise ValueError('two\\nlines')", "Mine", "{file} cannot be imported (ValueError: two lines); mend it, or "
         "write path/to/file.py:Name or package.module:Name"),
        ("open('none.txt')", "Mine", "{file} cannot be imported (FileNotFoundError: [Errno 2] No such file or "
         "directory: 'none.txt'); mend it, or write path/to/file.py:Name or package.module:Name"),
    ],
    ids=["no file", "no name", "syntax", "two lines", "a file it needs"],
)  # fmt: skip
def test_references_that_lead_nowhere(
    path: Path, tmp_path: Path, key: str, source: str | None, name: str, said: str
) -> None:
    file = tmp_path / "wrong.py"
    if source is not None:
        file.write_text(source)
    reference = f"{file}:{name}"
    override = f"{key}={reference}"
    if key == "transformer.family":
        override = f"transformer={{family: {reference}, checkpoint: random, variant: SiT-S/2, num_classes: 10}}"
    assert line_of(path, override).endswith(f"{key}: {reference}: {said.format(file=file)}")


def test_no_such_module(path: Path) -> None:
    assert line_of(path, "method.name=no.module:Mine") == (
        "method.name: no.module:Mine: no.module cannot be imported (ModuleNotFoundError: No module named 'no'); mend "
        "it, or write path/to/file.py:Name or package.module:Name"
    )


def test_something_else_than_the_part(path: Path, parts: dict[str, str]) -> None:
    file = parts["method"].rpartition(":")[0]
    for name in ("NUMBER", "build", "torch"):
        assert line_of(path, f"method.name={file}:{name}") == (
            f"method.name: {file}:{name} is not a subclass of dusa_ignite.Method"
        )
        assert line_of(path, f"data.name={file}:{name}") == (
            f"data.name: {file}:{name} is not a subclass of dusa_ignite.data.DataSet"
        )
    family = parts["family"].replace("MINE", "NO_FAMILY")
    line = line_of(path, f"transformer={{family: {family}, checkpoint: random, variant: SiT-S/2, num_classes: 10}}")
    assert line.endswith(f"transformer.family: {family} is a dict, not a dusa_ignite.models.guides.Family")


def test_options_that_are_none(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "odd.py"
    file.write_text("from dusa_ignite import Method\nclass Odd(Method):\n    class Options:\n        weight = 1.0\n")
    line = line_of(path, f"method.name={file}:Odd")
    assert line == f"method.name: {file}:Odd: its class Options is not a subclass of Method.Options"


def test_a_name_that_is_almost_a_reference(path: Path) -> None:
    assert line_of(path, "data.name=my_data.py").endswith("| mask_folder, or path/to/file.py:Name")
