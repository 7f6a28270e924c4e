"""Write the page."""
import functools
import json
from importlib import resources

import jinja2

from cores.design import open_design, read_arrays
from cores.errors import UserError
from cores.page.view import view

__all__ = ["FILE", "render", "write"]

FILE = "report.html"


@functools.cache
def _template():
    files = {file.name: file.read_text() for file in resources.files("cores.page").iterdir()
             if file.name.endswith((".jinja", ".css"))}
    return jinja2.Environment(loader=jinja2.DictLoader(files), autoescape=True, undefined=jinja2.StrictUndefined,
                              trim_blocks=True, lstrip_blocks=True).get_template("report.html.jinja")


def render(network, report, golden):
    """The page as one self-contained HTML text; see :func:`~cores.page.view.view`."""
    return _template().render(view(network, report, golden))


def write(folder, report):
    """Write report.json and its page into the folder of a built design; returns the page's path.

    Raises
    ------
    UserError
        If ``folder`` is not a complete output of cores.build, or its golden vectors are damaged.
    """
    path = folder / FILE
    try:
        page = render(open_design(folder).network, report, read_arrays(folder / "golden.npz"))
    except (ValueError, KeyError) as error:
        raise UserError(f"{str(folder)!r} has no readable golden vectors ({error}); "
                        "make it anew with python -m cores.build") from error
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    path.write_text(page)
    return path
