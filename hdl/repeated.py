"""Components that a design holds many of: a platform may emit all that are alike as one module."""
import functools
import inspect

__all__ = ["repeated"]


def repeated(cls):
    """Let a platform make instances of a component's kind: its class and the arguments it was made with.

    A design has hundreds of queues and of multiply-accumulate arrays, of a few kinds each. A platform
    with a method ``repeat(component, kind, elaborate)`` returns an elaboratable to stand for each of
    them, and calls ``elaborate()`` once for the module of the kind. Others elaborate every one.

    It decorates a component whose arguments have a ``repr`` that tells them apart, and of which no
    other component uses more than the ports.
    """
    init, elaborate = cls.__init__, cls.elaborate
    arguments = inspect.signature(init)

    @functools.wraps(init)
    def construct(self, *args, **kwargs):
        self._given = arguments.bind(None, *args, **kwargs).arguments
        init(self, *args, **kwargs)

    @functools.wraps(elaborate)
    def repeat(self, platform):
        make = getattr(platform, "repeat", None)
        if make is None:
            return elaborate(self, platform)
        return make(self, (cls, repr(self._given)), functools.partial(elaborate, self, platform))

    cls.__init__, cls.elaborate = construct, repeat
    return cls
