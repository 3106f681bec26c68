import importlib
import json
import pathlib

import pytest

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.fixture
def common(monkeypatch):
    monkeypatch.syspath_prepend(EXAMPLES)
    return importlib.import_module("common")


def test_refuses_to_go_on_with_other_settings(common, tmp_path):
    common.check_settings(tmp_path, {"units": 16, "epochs": 1})
    common.check_settings(
        tmp_path, {"units": 16, "epochs": 2}, free=("epochs",)
    )
    with pytest.raises(SystemExit, match="units=16 became 8"):
        common.check_settings(tmp_path, {"units": 8, "epochs": 2})
    backup = tmp_path / "backup"
    backup.mkdir()
    common.check_settings(tmp_path, {"units": 8}, resume=False)
    assert not backup.exists()
    assert json.loads((tmp_path / "settings.json").read_text()) == {"units": 8}
