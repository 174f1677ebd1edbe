"""A page as a tree that a test can ask, which refuses tags that do not close in the order in which they opened."""

from collections.abc import Iterator
from html.parser import HTMLParser

VOID = {"meta", "link", "br", "img", "hr", "input"}


class Node:
    """A tag with its attributes, its children and texts in order."""

    def __init__(self, tag: str, attributes: dict[str, str]) -> None:
        self.tag, self.attributes = tag, attributes
        self.inside: list[Node | str] = []

    @property
    def text(self) -> str:
        """All text inside."""
        return "".join(one if isinstance(one, str) else one.text for one in self.inside)

    def all(self, tag: str = "", **attributes: str) -> "list[Node]":
        """Return all nodes inside with a tag and attributes, `class_` one of its classes, in order."""
        return [node for node in self._nodes() if node._is(tag, attributes)]

    def one(self, tag: str = "", **attributes: str) -> "Node":
        """Return the only such node."""
        (found,) = self.all(tag, **attributes)
        return found

    def rows(self) -> list[list[str]]:
        """Return the texts of a table's cells, row by row."""
        return [[cell.text.strip() for cell in row.inside if isinstance(cell, Node)] for row in self.all("tr")]

    def _nodes(self) -> "Iterator[Node]":
        for one in self.inside:
            if isinstance(one, Node):
                yield one
                yield from one._nodes()

    def _is(self, tag: str, attributes: dict[str, str]) -> bool:
        def agrees(name: str, value: str) -> bool:
            if name == "class_":
                return value in self.attributes.get("class", "").split()
            return self.attributes.get(name.replace("_", "-")) == value

        return self.tag == (tag or self.tag) and all(agrees(*pair) for pair in attributes.items())


class _Parser(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.root = Node("", {})
        self.open = [self.root]
        self.feed(html)
        self.close()
        assert self.open == [self.root], [node.tag for node in self.open]

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        node = Node(tag, {name: value or "" for name, value in attrs})
        self.open[-1].inside.append(node)
        if tag not in VOID:
            self.open.append(node)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.open[-1].inside.append(Node(tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop().tag == tag

    def handle_data(self, data: str) -> None:
        self.open[-1].inside.append(data)


def parsed(html: str) -> Node:
    """Return the root of a page."""
    return _Parser(html).root
