"""The repository itself: what is tracked, and that its parts agree with each other."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import pytest
from packaging.requirements import Requirement

from tests.patience import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

# Put together here, so that this file does not hold what it forbids.
PERSONAL_FOLDERS = "|".join(["root", "home", "Users", "work", "private/var"])
MACHINE_PATH = re.compile(rf"(?<![\w.~*:/-])/(?:{PERSONAL_FOLDERS})/[A-Za-z0-9_.-]+")
REGISTRY_HOST = re.compile("|".join(["pypi" + r"\.org", "python" + r"hosted\.org"]))
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")
ANCHOR = re.compile(r"\[[^\]]*\]\(([^)#\s]*)#([^)\s]+)\)")


def tracked_files() -> list[Path]:
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout")
    names = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [path for name in names.split("\0") if name and (path := ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in tracked_files():
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text(encoding="utf-8")))
        except UnicodeDecodeError:
            continue  # not a text
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.mark.parametrize("pattern", [MACHINE_PATH, REGISTRY_HOST], ids=["machine path", "registry host"])
def test_no_tracked_file_names_a_machine(pattern: re.Pattern[str]) -> None:
    found = [f"{name}: {match[0]}" for name, text in texts() for match in pattern.finditer(text)]
    assert not found


def test_a_machine_path_would_be_found() -> None:
    assert MACHINE_PATH.search("see /" + "home/somebody/x")
    assert MACHINE_PATH.search('"/' + 'root/.cache"')
    assert not MACHINE_PATH.search("docs/home/page")
    assert not MACHINE_PATH.search("https://example.com/" + "work/page")


def test_the_makefile_explains_every_target() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    targets = set(phony[1].split())
    # Under `make test` this make is a make within a make, which would say so.
    listed = run("make", "--no-print-directory", "help").stdout
    explained = {line.split()[1] for line in listed.splitlines()}
    assert explained == targets
    assert targets == set(re.findall(r"^([a-z0-9-]+):", makefile, re.MULTILINE))


def test_make_commands_in_the_documents_exist() -> None:
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {
        (name, target)
        for name, text in texts()
        if name.endswith((".md", ".yml"))
        for target in re.findall(r"(?:^ {4}|`|run: )make ([a-z0-9-]+)", text, re.MULTILINE)
    }
    assert named, "the documents name no make target at all"
    assert sorted((name, target) for name, target in named if target not in targets) == []


def test_links_between_the_documents_lead_somewhere() -> None:
    broken = [
        f"{name}: {target}"
        for name, text in texts()
        if name.endswith(".md")
        for target in LINK.findall(text)
        if "://" not in target and not (ROOT / name).parent.joinpath(target).exists()
    ]
    assert not broken


def anchors(page: str) -> set[str]:
    """Of a page's headings, as the forge makes them."""
    prose = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_links_to_a_heading_find_it() -> None:
    broken = []
    for name, text in texts():
        if not name.endswith(".md"):
            continue
        for target, anchor in ANCHOR.findall(text):
            page = (ROOT / name).parent / target if target else ROOT / name
            if (
                "://" not in target
                and page.suffix == ".md"
                and page.exists()
                and anchor not in anchors(page.read_text())
            ):
                broken.append(f"{name}: {target}#{anchor}")
    assert not broken
    assert anchors("# The command `up`, its `--trace`\n```\n# no\n```\n") == {"the-command-up-its---trace"}


def test_every_page_is_reached_from_the_index() -> None:
    """From docs/README.md by links between pages."""
    pages = {name: text for name, text in texts() if name.startswith("docs/") and name.endswith(".md")}
    reached, todo = {"docs/README.md"}, ["docs/README.md"]
    while todo:
        name = todo.pop()
        for target in LINK.findall(pages[name]):
            to = os.path.normpath(Path(name).parent / target)
            if to in pages and to not in reached:
                reached.add(to)
                todo.append(to)
    assert reached == set(pages)


def test_every_picture_has_words_for_who_does_not_see_it() -> None:
    pictures = [path for path in tracked_files() if path.suffix == ".svg" and path.is_relative_to(ROOT / "docs")]
    assert pictures
    for path in pictures:
        root = ElementTree.parse(path).getroot()
        kinds = [child.tag.rpartition("}")[2] for child in root]
        assert kinds[:2] == ["title", "desc"], path
        assert all(len(child.text or "") > 10 for child in root[:2]), path
        assert not re.search(r"<script|https?://(?!www\.w3\.org)|@import", path.read_text()), path
    for name, text in texts():
        if name.endswith(".md"):
            assert not re.search(r"!\[\s*\]", text), f"{name}: a picture without words"
            for image in re.findall(r"<img[^>]*>", text):
                assert re.search(r'alt="[^"]{10,}"', image), f"{name}: a picture without words"
                assert (ROOT / name).parent.joinpath(re.search(r'src="([^"]+)"', image)[1]).exists(), f"{name}: {image}"


def test_the_lock_pins_every_dependency_within_its_bounds() -> None:
    pins: dict[str, str] = {}
    for line in (ROOT / "requirements-dev.txt").read_text().splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), f"{line}: not one exact version"
            assert requirement.url is None, line
            pins[requirement.name.lower().replace("_", "-")] = str(requirement.specifier)[2:]

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = (
        project["project"]["dependencies"] + project["dependency-groups"]["dev"] + project["build-system"]["requires"]
    )
    unmet = []
    for requirement in map(Requirement, wanted):
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        version = pins.get(requirement.name.lower().replace("_", "-"))
        if version is None or version not in requirement.specifier:
            unmet.append(f"{requirement}, the lock has {version}")
    assert not unmet, "run 'make lock'"


def test_ci_runs_the_command_that_the_readme_names() -> None:
    assert re.search(r"^ {4}make test\b", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text().splitlines()[-1] == "make test"


def test_generated_code_is_what_its_source_says() -> None:
    result = run(sys.executable, "proto/generate.py", "--check")
    assert result.returncode == 0, result.stdout + result.stderr


def test_imports_go_one_way() -> None:
    result = run(str(BIN / "lint-imports"), "--no-cache")
    assert result.returncode == 0, result.stdout + result.stderr
