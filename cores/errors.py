"""The error of a user rather than of the program."""

__all__ = ["UserError"]


class UserError(Exception):
    """One line that says what is wrong, where, and what to do.

    Commands catch it, print it without a traceback, and exit with code 2.
    """
