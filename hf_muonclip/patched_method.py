"""A method of somebody else's class, wrapped while anybody needs it, where the class offers no hook."""

import functools
import weakref
from collections.abc import Callable
from typing import Any


class PatchedMethod:
    """A method that is wrapped between the first `start` and the last `stop`.

    Users are held weakly: one that is gone needs the wrapper no more. What others have laid around the method stays
    theirs: the method is restored only where the wrapper is the outermost, and else the wrapper does nothing.

    Args:
        owner: the class.
        name: of the method.
        around: called in the method's place, with the method itself before the arguments.
    """

    def __init__(self, owner: type, name: str, around: Callable[..., Any]) -> None:
        self._owner = owner
        self._name = name
        self._around = around
        self._users: list[weakref.ref[Any]] = []  # compared by identity: a callback need not be hashable
        self._original: Callable[..., Any] | None = None
        self._wrapper: Callable[..., Any] | None = None

    def __contains__(self, user: object) -> bool:
        """Tell whether a user has started and not stopped."""
        return any(held() is user for held in self._users)

    def start(self, user: object) -> None:
        """Wrap the method until the user calls `stop`, or is gone."""
        if user not in self:
            self._users.append(weakref.ref(user, self._drop))
        original = getattr(self._owner, self._name)
        if original is self._wrapper:
            return

        @functools.wraps(original)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            if self._wrapper is not wrapper:  # left below the patch of somebody else
                return original(*arguments, **options)
            return self._around(original, *arguments, **options)

        self._original, self._wrapper = original, wrapper
        setattr(self._owner, self._name, wrapper)

    def stop(self, user: object) -> None:
        """Let a user need the wrapper no more; the last one leaves the method as it was."""
        for held in self._users:
            if held() is user:
                self._drop(held)
                return

    def _drop(self, gone: "weakref.ref[Any]") -> None:
        self._users = [held for held in self._users if held is not gone]
        if self._users or self._wrapper is None:
            return
        if getattr(self._owner, self._name) is self._wrapper:
            setattr(self._owner, self._name, self._original)
        self._original = self._wrapper = None
