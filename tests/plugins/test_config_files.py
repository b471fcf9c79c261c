"""The module config_files: all files or none, with their rights from the first byte, and no secret in any output."""

from __future__ import annotations

import grp
import os
import pwd
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from real_module import ROOT, answer, run, start

ME = {"owner": pwd.getpwuid(os.geteuid()).pw_name, "group": grp.getgrgid(os.getegid()).gr_name}
SECRET = "Vq7\"pL2x'Tz9d\\Kc4m"


def file(path: Path, content: str = "one\n", **options: Any) -> dict[str, Any]:
    return {"path": str(path), "content": content, **ME, **options}


def secret(path: Path, **options: Any) -> dict[str, Any]:
    return {"path": str(path), "secret_content": f'"user" "{SECRET}"\n', "mode": "0640", **ME, **options}


def left_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_files_and_their_directories_are_made(tmp_path: Path) -> None:
    done = run("config_files", files=[file(tmp_path / "a/b/one.conf"), file(tmp_path / "two.conf", "é\n")])
    assert done["changed"]
    assert (tmp_path / "a/b/one.conf").read_text() == "one\n"
    assert (tmp_path / "two.conf").read_bytes() == b"\xc3\xa9\n"


def test_second_run_changes_nothing(tmp_path: Path) -> None:
    files = [file(tmp_path / "one.conf"), secret(tmp_path / "two.conf")]
    run("config_files", files=files)
    before = (tmp_path / "one.conf").stat().st_ctime_ns
    done = run("config_files", files=files)
    assert (done["changed"], done["paths"], done["diff"]) == (False, [], [])
    assert (tmp_path / "one.conf").stat().st_ctime_ns == before


def test_only_the_file_that_differs_is_written(tmp_path: Path) -> None:
    run("config_files", files=[file(tmp_path / "one.conf"), file(tmp_path / "two.conf")])
    before = (tmp_path / "one.conf").stat().st_ctime_ns
    done = run("config_files", files=[file(tmp_path / "one.conf"), file(tmp_path / "two.conf", "new\n")])
    assert done["paths"] == [str(tmp_path / "two.conf")]
    assert (tmp_path / "one.conf").stat().st_ctime_ns == before


@pytest.mark.parametrize("content", ["two\r\n", "two\n\n", "two", ""])
def test_every_difference_of_bytes_counts(tmp_path: Path, content: str) -> None:
    (tmp_path / "one.conf").write_bytes(b"two\n")
    assert run("config_files", files=[file(tmp_path / "one.conf", content)])["changed"]
    assert (tmp_path / "one.conf").read_bytes() == content.encode()


def test_file_that_is_no_text_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_bytes(b"caf\xe9\n")
    done = run("config_files", files=[file(tmp_path / "one.conf")])
    assert done["diff"][0]["before"] == "caf\\xe9\n"
    assert (tmp_path / "one.conf").read_text() == "one\n"


def test_no_file_changes_when_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("old\n")
    done = run(
        "config_files",
        files=[
            file(tmp_path / "one.conf", validate="test -s %s"),
            file(tmp_path / "two.conf", validate="grep -c absent %s"),
        ],
    )
    assert done["failed"]
    assert f"No file was changed: {tmp_path}/two.conf would not be valid" in done["msg"]
    assert "grep says:\n0" in done["msg"]
    assert (tmp_path / "one.conf").read_text() == "old\n"
    assert left_in(tmp_path) == ["one.conf"]


def test_program_that_checks_and_is_not_there_is_named(tmp_path: Path) -> None:
    done = run("config_files", files=[file(tmp_path / "one.conf", validate="no-such-program %s")])
    assert done["failed"]
    assert "no-such-program" in done["msg"]
    assert left_in(tmp_path) == []


def test_file_has_its_rights_before_its_content(tmp_path: Path) -> None:
    assert os.geteuid() == 0, "this test gives a file to another group, so it runs as root"
    big = "x\n" * (2 << 20)
    started = start("config_files", {"files": [file(tmp_path / "one", big, group="nogroup", mode="0640")]})
    seen = set()
    while started.poll() is None:
        for path in tmp_path.glob(".one.new"):
            try:
                there = path.stat()
            except FileNotFoundError:
                continue
            if there.st_size:
                seen.add((there.st_mode & 0o7777, grp.getgrgid(there.st_gid).gr_name))
    assert answer(started)["changed"]
    assert seen == {(0o640, "nogroup")}


def test_wrong_rights_are_corrected_and_shown(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("one\n")
    (tmp_path / "one.conf").chmod(0o666)
    done = run("config_files", files=[file(tmp_path / "one.conf", mode="0600")])
    assert (tmp_path / "one.conf").stat().st_mode & 0o7777 == 0o600
    names = f"{ME['owner']}:{ME['group']}"
    assert (done["diff"][0]["before"], done["diff"][0]["after"]) == (f"{names} 0666\n", f"{names} 0600\n")


def test_directories_are_open_whatever_the_umask_is(tmp_path: Path) -> None:
    done = answer(start("config_files", {"files": [file(tmp_path / "a/one.conf")]}, umask=0o077))
    assert done["changed"]
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o755


def test_check_mode_shows_the_difference_and_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("old\n")
    files = [
        file(tmp_path / "one.conf", validate="false"),
        file(tmp_path / "no/such/two.conf", group="later"),
    ]
    done = run("config_files", files=files, _ansible_check_mode=True)
    assert done["changed"]
    assert [(part["before"], part["after"]) for part in done["diff"]] == [
        ("old\n", "one\n"),
        ("", "one\n"),
    ]
    assert [part["after_header"] for part in done["diff"]] == done["paths"]
    assert (tmp_path / "one.conf").read_text() == "old\n"
    assert left_in(tmp_path) == ["one.conf"]


def test_run_that_was_killed_before_the_switch_leaves_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "one.conf").write_text("old\n")
    killed = start(
        "config_files", {"files": [file(tmp_path / "one.conf", validate="sh -c 'kill -9 $PPID' %s")]}
    )
    assert killed.wait(timeout=30) == -9
    assert (tmp_path / "one.conf").read_text() == "old\n"
    assert left_in(tmp_path) == [".one.conf.new", "one.conf"]


@pytest.mark.parametrize("content", ["old\n", "another\n"])
def test_next_run_clears_what_a_killed_one_left(tmp_path: Path, content: str) -> None:
    run("config_files", files=[file(tmp_path / "one.conf", "old\n")])
    (tmp_path / ".one.conf.new").write_text("half")
    run("config_files", files=[file(tmp_path / "one.conf", content)])
    assert left_in(tmp_path) == ["one.conf"]
    assert (tmp_path / "one.conf").read_text() == content


def test_link_gives_way_to_the_file_and_its_target_stays(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept\n")
    (tmp_path / "one.conf").symlink_to("target")
    run("config_files", files=[file(tmp_path / "one.conf")])
    assert not (tmp_path / "one.conf").is_symlink()
    assert (tmp_path / "target").read_text() == "kept\n"


def test_link_that_waits_in_the_new_files_place_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_text("kept\n")
    (tmp_path / ".one.conf.new").symlink_to("target")
    run("config_files", files=[file(tmp_path / "one.conf")])
    assert (tmp_path / "target").read_text() == "kept\n"


@pytest.mark.parametrize("mode", ["0999", "rw-r--r--", "416", "640", "", "0o640", "00640"])
def test_mode_that_is_not_four_octal_digits_is_refused(tmp_path: Path, mode: str) -> None:
    done = run("config_files", files=[file(tmp_path / "one.conf", mode=mode)])
    assert done["failed"]
    assert f'mode "{mode}" of {tmp_path}/one.conf is not four octal digits' in done["msg"]
    assert '"0640"' in done["msg"]


@pytest.mark.parametrize("option", ["owner", "group"])
def test_unknown_owner_or_group_is_named_before_anything_changes(tmp_path: Path, option: str) -> None:
    files = [file(tmp_path / "one.conf"), file(tmp_path / "two.conf", **{option: "nosuchname"})]
    done = run("config_files", files=files)
    assert done["failed"]
    assert f'{option} "nosuchname" of {tmp_path}/two.conf' in done["msg"]
    assert left_in(tmp_path) == []


def test_path_that_is_listed_twice_is_refused(tmp_path: Path) -> None:
    done = run("config_files", files=[file(tmp_path / "one.conf"), file(tmp_path / "one.conf", "two\n")])
    assert done["failed"]
    assert f"{tmp_path}/one.conf is in the list more than once" in done["msg"]


def test_directory_in_a_files_place_is_refused_before_anything_changes(tmp_path: Path) -> None:
    (tmp_path / "two.conf").mkdir()
    done = run("config_files", files=[file(tmp_path / "one.conf"), file(tmp_path / "two.conf")])
    assert done["failed"]
    assert f"{tmp_path}/two.conf is a directory" in done["msg"]
    assert left_in(tmp_path) == ["two.conf"]


def test_file_without_content_is_refused(tmp_path: Path) -> None:
    done = run("config_files", files=[{"path": str(tmp_path / "one.conf")}])
    assert done["failed"]
    assert "content, secret_content" in done["msg"]


def test_file_with_both_contents_is_refused_without_showing_either(tmp_path: Path) -> None:
    done = run("config_files", files=[secret(tmp_path / "one.conf", content="x")])
    assert done["failed"]
    assert "mutually exclusive" in done["msg"]
    assert "Tz9d" not in str(done)


def test_what_a_check_says_about_a_secret_is_left_out(tmp_path: Path) -> None:
    done = run("config_files", files=[secret(tmp_path / "one", validate="sh -c 'cat $0; exit 1' %s")])
    assert "sh says:\n(left out" in done["msg"]
    assert "Tz9d" not in str(done)


@pytest.mark.parametrize("arguments", [[], ["--check"]])
def test_secret_is_in_no_output_of_ansible(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "old").write_text('"user" "OldTz9d"\n')
    wanted = {
        "right": [secret(tmp_path / "new", validate="true"), secret(tmp_path / "old")],
        "refused": [secret(tmp_path / "refused", validate="grep -v user %s")],
        "unknown group": [secret(tmp_path / "unknown", group="nosuchname")],
        "both contents": [secret(tmp_path / "both", content="x")],
        "unknown option": [secret(tmp_path / "option", colour="red")],
        "wrong mode": [secret(tmp_path / "mode", mode="rw")],
    }
    tasks = [
        {"name": name, "config_files": {"files": files}, "failed_when": False}
        for name, files in wanted.items()
    ]
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}
    play["vars"] = {"ansible_python_interpreter": sys.executable}
    (tmp_path / "play.yml").write_text(yaml.safe_dump([play]))
    command = [sys.executable, "-m", "ansible", "playbook", "-i", "localhost,", "--diff", "-vvv"]
    done = subprocess.run(
        [*command, *arguments, str(tmp_path / "play.yml")],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")},
    )
    assert f"ok={len(tasks)}" in done.stdout, done.stdout + done.stderr
    assert "(another secret)" in done.stdout
    assert "Tz9d" not in done.stdout + done.stderr
    assert (tmp_path / "new").exists() == (not arguments)
