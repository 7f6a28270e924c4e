"""README.md does what it says: its Python runs, its links lead somewhere, its package installs whole."""
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
CORE, = re.findall(r"^```python\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)


def execute(source):
    exec(compile(source, "README.md", "exec"), {"__name__": "readme"})


def test_core_in_a_design(capsys):
    execute(CORE)
    printed = capsys.readouterr().out
    assert "192 sums" in printed and ", 0 of them wrong" in printed
    assert f"```text\n{printed}```" in README


@pytest.mark.parametrize("page", sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")]),
                         ids=lambda page: page.name)
def test_links(page):
    for link in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert "://" in link or (page.parent / link).exists(), f"{page.name} links to {link}"


def test_every_package_has_its_init():
    """Packages are found by their ``__init__.py``; one without it would not be installed."""
    for top in ("hdl", "cores", "platforms", "sim"):
        for module in (ROOT / top).rglob("*.py"):
            assert (module.parent / "__init__.py").exists(), f"{module.parent} has no __init__.py"
