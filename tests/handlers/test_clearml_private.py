"""The parts of ClearML that it does not document are in the installed version, and in one file of ours."""

from __future__ import annotations

import importlib
import inspect
import re
import subprocess
import sys

import clearml
import pytest
from support.files import ROOT

PARTS = {  # module: names in it, and how they are called
    "clearml": {"Task": None, "OutputModel": None},
    "clearml.backend_api.session": {"Session": None},
    "clearml.backend_api.session.defs": {"ENV_ACCESS_KEY": None, "ENV_SECRET_KEY": None, "ENV_AUTH_TOKEN": None},
    "clearml.backend_api.utils": {"get_http_session_with_retry": {"total", "config"}},
    "clearml.binding.environ_bind": {"PatchOsFork": None},
    "clearml.config": {"config_obj": None},
}


@pytest.mark.parametrize("module", PARTS)
def test_the_installed_version_has_them(module: str) -> None:
    for name, parameters in PARTS[module].items():
        part = getattr(importlib.import_module(module), name)
        if parameters:
            assert parameters <= set(inspect.signature(part).parameters), name
    assert hasattr(clearml.Task, "_report_subprocess_enabled")
    assert isinstance(clearml.OutputModel.published, property)


def test_they_are_touched_in_one_file_only() -> None:
    found = {
        path.name
        for path in (ROOT / "dusa_ignite").rglob("*.py")
        if re.search(r"clearml\.(?!import_offline)(?!clearml)[a-z_]+ import|Task\._|PatchOsFork", path.read_text())
        and "from clearml." in path.read_text()
    }
    assert found == {"clearml_private.py"}


@pytest.mark.slow
def test_nothing_of_clearml_runs_at_exit() -> None:
    code = """
import atexit
def own(): print("own")
def clearmls(): print("clearml's")
clearmls.__module__ = "clearml.task"
atexit.register(own)
atexit.register(clearmls)
from dusa_ignite.handlers.clearml_private import forget_at_exit
forget_at_exit()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["own", ""]
