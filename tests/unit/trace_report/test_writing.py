"""The page goes where it belongs, or nowhere."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from shardfleet_operator.cli.main import main
from shardfleet_operator.trace_report import PAGE_NAME, read_story, render, write_page
from shardfleet_shard.errors import UsageError

from ..checker.world import small_world
from .pages import on_a_circle


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (trace := tmp_path / "trace").mkdir()
    return small_world().write(trace, on_a_circle)


def test_an_older_page_is_replaced_and_nothing_is_left_beside_it(folder: Path) -> None:
    page = render(read_story(folder))
    assert write_page(folder / PAGE_NAME, page) == len(page.encode())
    write_page(folder / PAGE_NAME, page)
    assert (folder / PAGE_NAME).read_text() == page
    assert not list(folder.glob(".*"))
    assert read_story(folder).check.ok, "a page in the folder is no trace"


def test_what_is_not_a_page_stays(folder: Path, tmp_path: Path) -> None:
    (notes := tmp_path / "notes.txt").write_text("mine")
    (link := tmp_path / "link.html").symlink_to(notes)
    (dangling := tmp_path / "dangling.html").symlink_to(tmp_path / "nothing")
    os.mkfifo(pipe := tmp_path / "pipe.html")
    for path in (notes, link, dangling, pipe, folder):
        with pytest.raises(UsageError, match="choose another file with -o"):
            write_page(path, "x")
    assert notes.read_text() == "mine" and not (tmp_path / "nothing").exists()
    with pytest.raises(UsageError, match="no such directory"):
        write_page(tmp_path / "nowhere" / "page.html", "x")


def test_an_empty_file_may_be_filled(folder: Path, tmp_path: Path) -> None:
    (made := tmp_path / "made-by-mktemp.html").touch()
    assert write_page(made, render(read_story(folder))) > 1000


def test_the_command_writes_beside_the_trace_and_ends_as_check_does(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", str(folder)]) == 0
    said = capsys.readouterr()
    assert said.err == "" and str(folder / PAGE_NAME) in said.out and "A1, A2, A4 and A5 hold" in said.out

    (folder / "b.12.trace").write_bytes((folder / "b.12.trace").read_bytes()[:-60])
    other = tmp_path / "other.html"
    assert main(["report", str(folder), "-o", str(other), "--bound", "3"]) in (0, 1)
    (folder / "b.12.trace").unlink()
    assert main(["report", str(folder), "-o", str(other)]) == 1
    assert "Failed" in other.read_text() and "BROKEN" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["nowhere", "."])
def test_wrong_use_is_one_line(tmp_path: Path, where: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path / where)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.count("\n") == 1 and said.err.startswith("shardfleet: error: ")
    assert not (tmp_path / PAGE_NAME).exists()
