"""A random sample of things that come one by one, however many they will be."""

import random
from typing import Any


class Reservoir:
    """Holds so many of the things it is shown, each with the same probability (Vitter's algorithm R).

    Args:
        size: how many.
        seed: of the draws.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self.size, self.seen = size, 0
        self.items: list[Any] = []
        self._draw = random.Random(seed)

    def place(self) -> int | None:
        """Return where the next thing is to be put, None where it is not taken: it need not be made then."""
        self.seen += 1
        if self.seen <= self.size:
            return self.seen - 1
        place = self._draw.randrange(self.seen)
        return place if place < self.size else None

    def put(self, place: int, item: Any) -> None:
        """Take a thing at a place."""
        self.items[place : place + 1] = [item]
