"""The bindings of one exchange, as a structure in which a match costs the same however many there are. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

__all__ = (
    "TABLES",
    "BindingTable",
    "Destination",
    "DirectTable",
    "FanoutTable",
    "HeadersTable",
    "TopicTable",
)

#: What a binding leads to: ("queue" or "exchange", name).
Destination = tuple[str, str]


class BindingTable:
    """Bindings by (destination, routing key, arguments); subclasses index them for :meth:`match`."""

    #: Whether :meth:`match` looks at the headers, so that its result may not be remembered by routing key.
    uses_headers = False

    def __init__(self) -> None:
        self._rows: dict[tuple[Destination, str, str], Mapping[str, Any]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self) -> Iterator[tuple[Destination, str, Mapping[str, Any]]]:
        """Every binding."""
        for (to, key, _), arguments in list(self._rows.items()):
            yield to, key, arguments

    def add(self, to: Destination, key: str, arguments: Mapping[str, Any]) -> None:
        """Add a binding; the same one again changes nothing."""
        identity = (to, key, repr(sorted(arguments.items(), key=_by_name)))
        if identity not in self._rows:
            self._rows[identity] = arguments
            self._index(to, key)

    def check(self, arguments: Mapping[str, Any]) -> None:
        """:exc:`ValueError` when a binding with these arguments makes no sense here."""

    def remove(self, to: Destination, key: str, arguments: Mapping[str, Any]) -> None:
        """Take a binding out, when it is there."""
        identity = (to, key, repr(sorted(arguments.items(), key=_by_name)))
        if self._rows.pop(identity, None) is not None:
            self._unindex(to, key)

    def match(self, key: str, headers: Mapping[str, Any]) -> list[Destination]:
        """The destinations of a message, each once, in the order in which they were bound."""
        raise NotImplementedError

    def _index(self, to: Destination, key: str) -> None:
        """A binding was added."""

    def _unindex(self, to: Destination, key: str) -> None:
        """A binding was removed."""


def _by_name(item: tuple[str, Any]) -> str:
    return item[0]


X_MATCH = ("all", "any", "all-with-x", "any-with-x")


class _Counted:
    """Destinations in order, each with the number of bindings that lead to it."""

    __slots__ = ("counts",)

    def __init__(self) -> None:
        self.counts: dict[Destination, int] = {}

    def add(self, to: Destination) -> None:
        self.counts[to] = self.counts.get(to, 0) + 1

    def discard(self, to: Destination) -> None:
        left = self.counts.get(to, 0) - 1
        if left > 0:
            self.counts[to] = left
        else:
            self.counts.pop(to, None)


class DirectTable(BindingTable):
    """Routing key equal to binding key."""

    def __init__(self) -> None:
        super().__init__()
        self._by_key: dict[str, _Counted] = {}

    def match(self, key: str, headers: Mapping[str, Any]) -> list[Destination]:
        found = self._by_key.get(key)
        return list(found.counts) if found is not None else []

    def _index(self, to: Destination, key: str) -> None:
        self._by_key.setdefault(key, _Counted()).add(to)

    def _unindex(self, to: Destination, key: str) -> None:
        found = self._by_key[key]
        found.discard(to)
        if not found.counts:
            del self._by_key[key]


class FanoutTable(BindingTable):
    """Everything bound, whatever the keys."""

    def __init__(self) -> None:
        super().__init__()
        self._all = _Counted()

    def match(self, key: str, headers: Mapping[str, Any]) -> list[Destination]:
        return list(self._all.counts)

    def _index(self, to: Destination, key: str) -> None:
        self._all.add(to)

    def _unindex(self, to: Destination, key: str) -> None:
        self._all.discard(to)


class _Node:
    __slots__ = ("hash", "here", "star", "words")

    def __init__(self) -> None:
        self.words: dict[str, _Node] = {}
        self.star: _Node | None = None
        self.hash: _Node | None = None
        self.here = _Counted()

    @property
    def empty(self) -> bool:
        return not (self.words or self.star or self.hash or self.here.counts)


def split_words(key: str) -> list[str]:
    """The words of a routing key; the empty key has none."""
    return key.split(".") if key else []


class TopicTable(BindingTable):
    """``*`` is one word, ``#`` zero or more: a trie of words, so a match depends on the key's length only."""

    def __init__(self) -> None:
        super().__init__()
        self._root = _Node()
        #: Destination -> (its place in the order of binding, how many bindings lead to it).
        self._order: dict[Destination, tuple[int, int]] = {}
        self._next = 0

    def match(self, key: str, headers: Mapping[str, Any]) -> list[Destination]:
        words = split_words(key)
        found: set[Destination] = set()
        seen: set[tuple[int, int]] = set()
        waiting = [(self._root, 0)]
        last = len(words)
        while waiting:
            node, at = waiting.pop()
            if (id(node), at) in seen:
                continue
            seen.add((id(node), at))
            if node.hash is not None:
                waiting += [(node.hash, skip) for skip in range(at, last + 1)]
            if at == last:
                found.update(list(node.here.counts))
                continue
            if node.star is not None:
                waiting.append((node.star, at + 1))
            child = node.words.get(words[at])
            if child is not None:
                waiting.append((child, at + 1))
        if len(found) < 2:
            return list(found)
        order = self._order
        return sorted(found, key=lambda to: order.get(to, (0, 0)))  # another thread may unbind meanwhile

    def _path(self, key: str) -> list[tuple[_Node, str]]:
        node, path = self._root, []
        for word in split_words(key):
            path.append((node, word))
            node = self._child(node, word)
        path.append((node, ""))
        return path

    @staticmethod
    def _child(node: _Node, word: str) -> _Node:
        if word == "*":
            node.star = node.star or _Node()
            return node.star
        if word == "#":
            node.hash = node.hash or _Node()
            return node.hash
        return node.words.setdefault(word, _Node())

    def _index(self, to: Destination, key: str) -> None:
        self._path(key)[-1][0].here.add(to)
        place, count = self._order.get(to, (self._next, 0))
        self._order[to] = (place, count + 1)
        self._next += 1

    def _unindex(self, to: Destination, key: str) -> None:
        place, count = self._order.pop(to)
        if count > 1:
            self._order[to] = (place, count - 1)
        *path, (node, _) = self._path(key)
        node.here.discard(to)
        for parent, word in reversed(path):
            if not node.empty:
                break
            if word == "*":
                parent.star = None
            elif word == "#":
                parent.hash = None
            else:
                del parent.words[word]
            node = parent


class HeadersTable(BindingTable):
    """``x-match`` ``all`` (default), ``any``, ``all-with-x`` and ``any-with-x`` over the binding's arguments."""

    uses_headers = True

    def check(self, arguments: Mapping[str, Any]) -> None:
        how = arguments.get("x-match", "all")
        if how not in X_MATCH:
            raise ValueError(f"invalid x-match {how!r}: expected one of {', '.join(X_MATCH)}")

    def match(self, key: str, headers: Mapping[str, Any]) -> list[Destination]:
        return list({to: None for to, _, arguments in self.rows() if headers_match(arguments, headers)})


def headers_match(arguments: Mapping[str, Any], headers: Mapping[str, Any]) -> bool:
    """Whether a message's headers satisfy a binding; a None in the binding asks for presence only."""
    how = arguments.get("x-match", "all")
    with_x = how in ("all-with-x", "any-with-x")
    wanted = [
        (name, value)
        for name, value in arguments.items()
        if name != "x-match" and (with_x or not name.startswith("x-"))
    ]
    hits = (name in headers and (value is None or _same(value, headers[name])) for name, value in wanted)
    return any(hits) if how in ("any", "any-with-x") else all(hits)


def _same(left: Any, right: Any) -> bool:
    return isinstance(left, bool) == isinstance(right, bool) and bool(left == right)


TABLES: dict[str, type[BindingTable]] = {
    "direct": DirectTable,
    "topic": TopicTable,
    "fanout": FanoutTable,
    "headers": HeadersTable,
}
