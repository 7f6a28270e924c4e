"""docs/operators.md says what the importer reads."""
from pathlib import Path

import pytest

from cores.errors import UserError
from cores.importer.__main__ import main, statement, tables, updated
from cores.importer.registry import OPERATORS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "operators.md"


@pytest.mark.parametrize("name", sorted(OPERATORS))
def test_every_operator_says_what_is_supported(name):
    """By the docstring of its function, of which the first paragraph goes into the table."""
    assert statement(name) and "|" not in statement(name)


def test_page_is_up_to_date(capsys):
    text = PAGE.read_text(encoding="utf-8")
    assert updated(text) == text, "run python -m cores.importer docs/operators.md"
    assert main([]) == 0
    assert capsys.readouterr().out == tables()


def test_page_is_brought_up_to_date(tmp_path, capsys):
    page, text = tmp_path / "page.md", PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("QLinearConv | Conv", "QLinearConv | ?"), encoding="utf-8")
    assert main([str(page)]) == 0 and page.read_text(encoding="utf-8") == updated(text)
    page.write_text("no markers")
    assert main([str(page)]) == 2 and capsys.readouterr().err.startswith("error: Page must have")
    assert main([str(tmp_path / "absent.md")]) == 2
    with pytest.raises(UserError, match=r"^Page must have the lines .* once each$"):
        updated(text + text)
