"""The operators that the importer reads, as tables in Markdown; brings a page's up to date."""
import re
import sys
from pathlib import Path

from cores import cli
from cores.errors import UserError
from cores.importer.expand import EXPANSIONS
from cores.importer.registry import OPERATORS

__all__ = ["statement", "tables", "updated"]

_START, _END = "<!-- operators, by python -m cores.importer -->", "<!-- end of operators -->"
EXAMPLE = "python -m cores.importer docs/operators.md"


def statement(name):
    """What of an operator is supported: the first paragraph of its function's docstring."""
    lines = (OPERATORS[name].__doc__ or "").split("\n\n")[0].split()
    return " ".join(lines).removesuffix(".")


def tables():
    """Both tables: operators on reals, and those on integers that are written out as such."""
    alike = {}
    for name in sorted(OPERATORS):
        alike.setdefault(statement(name), []).append(name)
    rows = ["| operator | supported |", "|---|---|"]
    rows += [f"| {', '.join(names)} | {text} |" for text, names in alike.items()]
    rows += ["", "| on integers | as |", "|---|---|"]
    rows += [f"| {name} | {EXPANSIONS[name].op} |" for name in sorted(EXPANSIONS)]
    return "\n".join(rows) + "\n"


def updated(text):
    """A page's text with the tables between its markers."""
    parts = re.split(f"({_START}\n|{_END})", text)
    if len(parts) != 5:
        raise UserError(f"Page must have the lines {_START!r} and {_END!r} once each")
    return "".join((*parts[:2], tables(), *parts[3:]))


def main(argv=None):
    """Run the command line; returns the exit code."""
    parser = cli.Parser("cores.importer", __doc__, EXAMPLE)
    parser.add_argument("page", nargs="?", type=Path, metavar="PAGE",
                        help="Markdown file to bring up to date (default: print the tables)")
    page = parser.parse_args(argv).page
    return cli.guarded(lambda: print(tables(), end="") if page is None else _write(page), OSError)


def _write(page):
    page.write_text(updated(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
