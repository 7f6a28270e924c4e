"""What all command lines share: one-line errors with exit code 2, tables, examples in --help."""
import argparse
import sys

from rich.console import Console

from cores.errors import UserError

__all__ = ["Parser", "console", "count", "positive_int", "positive_float", "percentage", "probability", "share",
           "frames", "seed", "short", "check_writable", "guarded"]


class Parser(argparse.ArgumentParser):
    """Parser whose errors are one line, and whose help keeps an example's line breaks."""

    def __init__(self, module, description, example):
        super().__init__(prog=f"python -m {module}", description=description, epilog=f"example:\n  {example}",
                         formatter_class=argparse.RawDescriptionHelpFormatter)

    def error(self, message):
        sys.stderr.write(f"error: {message} (see {self.prog} --help)\n")
        raise SystemExit(2)


def console():
    """Terminal output; wide enough for a table where nobody's terminal limits it."""
    plain = Console(markup=False, emoji=False)      # names of nodes are what they are, [0] and [/x] too
    return plain if plain.is_terminal else Console(width=150, markup=False, emoji=False)


def _number(kind, low, high, wanted):
    def convert(text):
        try:
            value = kind(text)
        except ValueError:
            value = None
        if value is None or not low <= value <= high:
            raise argparse.ArgumentTypeError(f"must be {wanted}, not {text!r}")
        return value
    return convert


count = _number(int, 0, 1 << 40, "an integer from 0")
positive_int = _number(int, 1, 1 << 40, "a positive integer")
positive_float = _number(float, 1e-9, 1e12, "a positive number")
frames = _number(int, 1, 1_000_000, "from 1 to 1000000")
seed = _number(int, 0, (1 << 32) - 1, "from 0 to 4294967295")
share = _number(float, 0.0, 1.0, "from 0 to 1")
percentage = _number(lambda text: float(text[:-1]) / 100 if text.endswith("%") else float(text), 0.0, 1.0,
                     "from 0% to 100%, or from 0 to 1")
probability = _number(float, 0.0, 0.99, "from 0 to 0.99")


def short(name, width=32):
    """``name``, its middle left out if it is longer: exporters join the names of all they fused."""
    return name if len(name) <= width else f"{name[:width // 2 - 1]}…{name[-(width // 2):]}"


def check_writable(path):
    """Refuse, before any work is done, a file that cannot be written."""
    try:
        existed = path.exists()
        with path.open("a"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise UserError(f"{str(path)!r} cannot be written ({error.strerror})") from error


def guarded(main, *errors):
    """Run ``main``; print a UserError, or one of ``errors``, as one line; return the exit code."""
    try:
        return main() or 0
    except (UserError, *errors) as error:
        text = " ".join(str(error).split())
        print(f"error: {text}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
