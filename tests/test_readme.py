# amaranth: UnusedElaboratable=no
# Some examples only construct a component.
"""README.md and docs/ do what they say: Python runs, links lead somewhere, commands exist; the package installs whole."""
import argparse
import importlib
import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.compile(r"^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
CORE, = PYTHON.findall(README)

PAGES = pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]),
                                ids=lambda page: page.name)
# On a line of their own, or in backquotes with arguments.
COMMAND = re.compile(r"^ *python -m (\S+)(.*)$|`python -m ([^`\s]+)\s([^`]+)`", re.MULTILINE)
OTHERS = {"pytest"}
# The first two have a design of the reader's in their examples, the last has a test of its own.
ELSEWHERE = {"platforms.md", "resources.md", "tutorial.md"}
EXAMPLES = {page.name: blocks for page in sorted((ROOT / "docs").glob("*.md")) if page.name not in ELSEWHERE
            and (blocks := PYTHON.findall(page.read_text(encoding="utf-8")))}


def execute(source):
    exec(compile(source, "README.md", "exec"), {"__name__": "readme"})


def test_core_in_a_design(capsys):
    execute(CORE)
    printed = capsys.readouterr().out
    assert "192 sums" in printed and ", 0 of them wrong" in printed
    assert f"```text\n{printed}```" in README


@pytest.mark.parametrize("page", EXAMPLES)
def test_examples(page):
    """The blocks of a page run one after the other, in the order in which they are read."""
    names = {"__name__": "docs"}
    for block in EXAMPLES[page]:
        exec(compile(block, __file__, "exec"), names)       # in this file's name, for the linter's setting at its top


class Accepted(BaseException):
    """A command line was parsed."""


@PAGES
def test_commands(page, monkeypatch):
    """Every command of the page is there, and takes the options that it is given."""
    parse = argparse.ArgumentParser.parse_args

    def accept(parser, arguments):
        parse(parser, arguments)
        raise Accepted

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", accept)
    for found in COMMAND.finditer(page.read_text(encoding="utf-8")):
        name, rest = found.group(1, 2) if found[1] else found.group(3, 4)
        arguments = ["1" if word == "N" else word for word in shlex.split(rest, comments=True)]
        if name in OTHERS or "--help" in arguments:
            continue
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):
            module = importlib.import_module(f"{name}.__main__")
        with pytest.raises(Accepted):
            module.main(arguments)


@PAGES
def test_links(page):
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_package_has_its_init():
    """Packages are found by their ``__init__.py``; one without it would not be installed."""
    for top in ("hdl", "cores", "platforms", "sim"):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} has no __init__.py"
