"""The module config_files: of the files that belong to the caller, those that are not wanted any more go."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from real_module import run

ME = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}


def put(directory: Path, *names: str, **options: Any) -> dict[str, Any]:
    """Have these files and no others named shop-*."""
    files = [{"path": str(directory / name), "content": f"{name}\n", **ME} for name in names]
    return run("config_files", files=files, only=[f"{directory}/shop-*.conf"], **options)


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_file_that_is_not_wanted_any_more_goes(tmp_path: Path) -> None:
    put(tmp_path, "shop-one.conf", "shop-two.conf")
    done = put(tmp_path, "shop-two.conf")
    assert (done["changed"], done["paths"]) == (True, [str(tmp_path / "shop-one.conf")])
    assert left_in(tmp_path) == ["shop-two.conf"]


def test_second_run_changes_nothing(tmp_path: Path) -> None:
    put(tmp_path, "shop-one.conf")
    done = put(tmp_path, "shop-one.conf")
    assert (done["changed"], done["paths"], done["diff"]) == (False, [], [])


def test_what_the_pattern_does_not_name_stays(tmp_path: Path) -> None:
    for name in ("shop.conf", "shop-one.conf.orig", "other-one.conf"):
        (tmp_path / name).write_text("of somebody else")
    (tmp_path / "shop-directory.conf").mkdir()
    before = left_in(tmp_path)
    assert not put(tmp_path)["changed"]
    assert left_in(tmp_path) == before


def test_link_goes_and_what_it_names_stays(tmp_path: Path) -> None:
    (tmp_path / "kept").write_text("of somebody else")
    (tmp_path / "shop-link.conf").symlink_to("kept")
    put(tmp_path)
    assert left_in(tmp_path) == ["kept"]


def test_check_mode_says_what_would_go_and_leaves_it(tmp_path: Path) -> None:
    put(tmp_path, "shop-one.conf")
    done = put(tmp_path, _ansible_check_mode=True)
    assert done["changed"]
    assert done["diff"] == [
        {
            "before_header": str(tmp_path / "shop-one.conf"),
            "after_header": str(tmp_path / "shop-one.conf"),
            "before": "present\n",
            "after": "absent\n",
        }
    ]
    assert left_in(tmp_path) == ["shop-one.conf"]


def test_nothing_goes_when_a_new_file_is_not_valid(tmp_path: Path) -> None:
    put(tmp_path, "shop-one.conf")
    new = {"path": str(tmp_path / "shop-two.conf"), "content": "x", "validate": "false %s", **ME}
    done = run("config_files", files=[new], only=[f"{tmp_path}/shop-*.conf"])
    assert done["failed"]
    assert "would not be valid" in done["msg"]
    assert left_in(tmp_path) == ["shop-one.conf"]


@pytest.mark.parametrize("pattern", ["*", "*.conf", "shop-one.conf", "?-*", "../*/shop-*", "[s]hop-*"])
def test_pattern_that_could_name_files_of_others_is_refused(tmp_path: Path, pattern: str) -> None:
    (tmp_path / "shop-one.conf").write_text("there")
    done = run("config_files", files=[], only=[f"{tmp_path}/{pattern}"])
    assert done["failed"]
    assert "must begin with a name of yours and have a * after it" in done["msg"]
    assert left_in(tmp_path) == ["shop-one.conf"]
