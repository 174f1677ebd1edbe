"""A method of a class is wrapped while anybody needs it, and what others laid around it stays."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from hf_muonclip.common.patching import PatchedMethod, PatchedSetting


class Owner:
    def greet(self, name: str) -> str:
        """Greet."""
        return f"hello {name}"


class User:
    pass


@dataclass
class UserWithoutHash:  # as a callback of somebody else may be
    name: str = "equal"


def twice(greet: Callable[..., str], owner: Owner, name: str) -> str:
    return greet(owner, f"{name} {name}")


@pytest.fixture
def patched(monkeypatch: pytest.MonkeyPatch) -> PatchedMethod:
    monkeypatch.setattr(Owner, "greet", Owner.greet)  # as it was, after every test
    return PatchedMethod(Owner, "greet", twice)


def test_it_is_wrapped_from_the_first_user_to_the_last(patched: PatchedMethod) -> None:
    unpatched = Owner.greet
    first, second = User(), User()
    patched.start(first)
    patched.start(second)
    patched.start(second)
    assert Owner().greet("ada") == "hello ada ada"
    assert Owner.greet.__doc__ == "Greet."
    patched.stop(first)
    patched.stop(first)
    assert (first in patched, second in patched) == (False, True)
    assert Owner().greet("ada") == "hello ada ada"
    patched.stop(second)
    assert Owner.greet is unpatched
    patched.start(first)
    assert Owner().greet("ada") == "hello ada ada"


def test_a_user_that_is_gone_needs_it_no_more(patched: PatchedMethod) -> None:
    unpatched = Owner.greet
    lost, other = User(), User()
    patched.start(lost)
    patched.start(other)
    del lost
    assert Owner().greet("ada") == "hello ada ada"
    del other
    assert Owner.greet is unpatched


def test_the_patch_of_somebody_else_stays(patched: PatchedMethod) -> None:
    user = User()
    patched.start(user)
    below = Owner.greet

    def louder(self: Owner, name: str) -> str:
        return below(self, name).upper()

    Owner.greet = louder
    assert Owner().greet("ada") == "HELLO ADA ADA"
    patched.stop(user)
    assert Owner.greet is louder
    assert Owner().greet("ada") == "HELLO ADA"
    patched.start(user)
    assert Owner().greet("ada") == "HELLO ADA ADA"  # once, not twice
    patched.stop(user)
    assert Owner.greet is louder


def test_users_are_told_apart_by_identity(patched: PatchedMethod) -> None:
    first, second = UserWithoutHash(), UserWithoutHash()
    assert first == second
    patched.start(first)
    assert (first in patched, second in patched) == (True, False)
    patched.stop(second)
    assert Owner().greet("ada") == "hello ada ada"
    patched.stop(first)
    assert Owner().greet("ada") == "hello ada"


def test_a_wrapper_that_others_uncover_is_taken_off_by_the_next_start(patched: PatchedMethod) -> None:
    unpatched, user = Owner.greet, User()
    for _ in range(3):
        patched.start(user)
        below = Owner.greet
        Owner.greet = lambda self, name, below=below: below(self, name).upper()  # type: ignore[misc]
        patched.stop(user)
        Owner.greet = below  # somebody else ends after us, and puts back what it found
        assert Owner().greet("ada") == "hello ada"
    patched.start(user)
    assert Owner().greet("ada") == "hello ada ada"
    patched.stop(user)
    assert Owner.greet is unpatched


def test_what_others_put_in_the_place_of_the_wrapper_stays(patched: PatchedMethod) -> None:
    unpatched, user = Owner.greet, User()
    patched.start(user)
    Owner.greet = unpatched  # somebody who had begun before us ends, and drops our wrapper
    patched.stop(user)
    assert Owner.greet is unpatched
    patched.start(user)
    assert Owner().greet("ada") == "hello ada ada"
    patched.stop(user)
    assert Owner.greet is unpatched


def test_one_object_alone_can_be_wrapped_and_keeps_what_others_gave_it() -> None:
    owner, user = Owner(), User()
    patched = PatchedMethod(owner, "greet", lambda greet, name: greet(f"{name} {name}"))
    patched.start(user)
    assert (owner.greet("ada"), Owner().greet("ada")) == ("hello ada ada", "hello ada")
    patched.stop(user)
    assert "greet" not in vars(owner)
    patched.start(user)
    below = owner.greet
    owner.greet = lambda name: below(name).upper()  # type: ignore[method-assign]
    louder = owner.greet
    patched.stop(user)
    assert owner.greet is louder
    assert owner.greet("ada") == "HELLO ADA"


class Settings:
    level = 1


def test_a_setting_is_ours_from_the_first_user_to_the_last() -> None:
    setting, first, second = PatchedSetting(Settings, "level", 5), User(), User()
    setting.start(first)
    setting.start(second)
    setting.stop(first)
    assert Settings.level == 5
    del second
    assert Settings.level == 1
    PatchedSetting(Settings, "missing", 5).start(first)
    assert not hasattr(Settings, "missing")


def test_a_setting_that_others_changed_meanwhile_stays_theirs() -> None:
    setting, user = PatchedSetting(Settings, "level", 5), User()
    setting.start(user)
    Settings.level = 7
    setting.stop(user)
    assert Settings.level == 7
    Settings.level = 1
    setting.start(user)
    assert Settings.level == 5
    setting.stop(user)
    assert Settings.level == 1
