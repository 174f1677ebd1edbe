"""Patches of code that offers no hook, in place while anybody needs them: a method of a class, or a setting.

One rule: changes of others stay. Another library may wrap ours, remove its own wrapper below ours, or change the same
setting, in any order. Only what is still ours is restored; a wrapper that must stay only passes calls on.
"""

import functools
import weakref
from collections.abc import Callable
from typing import Any


class _Patch:
    """A patch, in place from the first `start` to the last `stop`. Users are held weakly: one that is gone has stopped.

    Args:
        owner: the class or module with the attribute.
        name: the name of the attribute.
    """

    def __init__(self, owner: Any, name: str) -> None:
        self._owner = owner
        self._name = name
        self._users: list[weakref.ref[Any]] = []  # compared by identity: a callback need not be hashable

    def __contains__(self, user: object) -> bool:
        """Return whether a user has started and not stopped."""
        return any(held() is user for held in self._users)

    def start(self, user: object) -> None:
        """Keep the patch in place until the user calls `stop`, or is gone."""
        if user not in self:
            self._users.append(weakref.ref(user, self._drop))
        self._put()

    def stop(self, user: object) -> None:
        """End a user's need of the patch; the last one removes it."""
        for held in self._users:
            if held() is user:
                self._drop(held)
                return

    def _drop(self, gone: "weakref.ref[Any]") -> None:
        self._users = [held for held in self._users if held is not gone]
        if not self._users:
            self._take_back()

    def _put(self) -> None:
        raise NotImplementedError

    def _take_back(self) -> None:
        raise NotImplementedError


class PatchedMethod(_Patch):
    """A method that is wrapped between the first `start` and the last `stop`.

    The method is restored if the wrapper is the outermost. If others have wrapped it, it stays below them and only
    passes calls on; once they have removed theirs, the next `start` removes it.

    Args:
        owner: the class, or one object; or the module whose code calls a function by this name.
        name: the name of the method or function.
        around: called in the method's place, with the method itself before the arguments.
    """

    def __init__(self, owner: Any, name: str, around: Callable[..., Any]) -> None:
        super().__init__(owner, name)
        self._around = around
        self._wrapper: Callable[..., Any] | None = None
        # Every wrapper that somebody may still hold, and what it was laid around.
        self._originals: weakref.WeakKeyDictionary[Callable[..., Any], Callable[..., Any]] = weakref.WeakKeyDictionary()

    def _put(self) -> None:
        original = getattr(self._owner, self._name)
        if original is self._wrapper:
            return
        while original in self._originals:  # ours of before, uncovered by those who had wrapped it
            original = self._originals[original]

        @functools.wraps(original)
        def wrapper(*arguments: Any, **options: Any) -> Any:
            if self._wrapper is not wrapper:  # left below the patch of somebody else
                return original(*arguments, **options)
            return self._around(original, *arguments, **options)

        self._wrapper = wrapper
        self._originals[wrapper] = original
        setattr(self._owner, self._name, wrapper)

    def _take_back(self) -> None:
        if self._wrapper is not None and getattr(self._owner, self._name) is self._wrapper:
            delattr(self._owner, self._name)
            if getattr(self._owner, self._name, None) != self._originals[self._wrapper]:  # it was not inherited
                setattr(self._owner, self._name, self._originals[self._wrapper])
        self._wrapper = None


class PatchedSetting(_Patch):
    """A setting of another library that has our value between the first `start` and the last `stop`.

    Args:
        owner: the module of settings.
        name: the name of the setting; one that the owner lacks is left alone.
        value: the value it has meanwhile.
    """

    def __init__(self, owner: Any, name: str, value: Any) -> None:
        super().__init__(owner, name)
        self._value = value
        self._before: tuple[Any] | None = None  # where the value is ours

    def _put(self) -> None:
        if self._before is None and hasattr(self._owner, self._name):
            self._before = (getattr(self._owner, self._name),)
            setattr(self._owner, self._name, self._value)

    def _take_back(self) -> None:
        if self._before is not None and getattr(self._owner, self._name) == self._value:
            setattr(self._owner, self._name, self._before[0])
        self._before = None
