"""Options of commands, and their errors."""

__all__ = ["VivadoError", "arguments"]


class VivadoError(Exception):
    """What Vivado would answer."""


def arguments(args, flags="", values="", least=0, most=0):
    """Options of a command by name, and its other arguments."""
    options, rest, args = {}, [], list(args)
    while args:
        word = args.pop(0)
        if word.startswith("-") and word[1:] in flags.split():
            options[word[1:]] = True
        elif word.startswith("-") and word[1:] in values.split() and args:
            options[word[1:]] = args.pop(0)
        elif word.startswith("-"):
            raise VivadoError(f"unknown option {word}")
        else:
            rest.append(word)
    if not least <= len(rest) <= most:
        raise VivadoError(f"{least} to {most} arguments, not {rest}")
    return options, rest
