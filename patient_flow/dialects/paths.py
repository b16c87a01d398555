"""Places inside a JSON object, written as a path with dots: ``ward.bed.number``, ``contacts.0.id``.

A key that contains dots itself is found when the rest of the path is exactly that key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

Steps = tuple[str | int, ...]


def value_at(value: object, path: str) -> object:
    """The value at ``path``; None when there is none, or when it is null or blank text."""
    steps = _resolve(value, path)
    if steps is None:
        return None
    found = _follow(value, steps)
    return None if isinstance(found, str) and not found.strip() else found


def without(value: Mapping[str, object], paths: Iterable[str]) -> dict[str, object]:
    """``value`` without what is at ``paths``, and without objects that this leaves empty; the original stays whole.

    An item of an array becomes null, so that the others keep their places.
    """
    result: dict[str, object] = dict(value)
    for path in paths:
        steps = _resolve(result, path)
        if steps is not None:
            _remove(result, steps)
    return result


def text_of(value: object) -> str | None:
    """``value`` as one would write it in a mapping file: text trimmed, 3.0 as 3; None for objects, arrays, blanks."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return (str(value).strip() or None) if isinstance(value, str | int | float) else None


def _resolve(value: object, path: str) -> Steps | None:
    """The keys that lead to ``path``, or None when it leads nowhere."""
    if isinstance(value, Mapping) and path in value:
        return (path,)
    head, dot, rest = path.partition(".")
    if isinstance(value, list) and head.isdecimal() and len(head) <= 6 and int(head) < len(value):
        key: str | int = int(head)
    elif dot and isinstance(value, Mapping) and head in value:
        key = head
    else:
        return None
    if not dot:
        return (key,)
    further = _resolve(_follow(value, (key,)), rest)
    return None if further is None else (key, *further)


def _follow(value: object, steps: Steps) -> object:
    for step in steps:
        value = value[step]  # type: ignore[index]  # _resolve has been there
    return value


def _remove(owner: dict[str, object], steps: Steps) -> None:
    """Removes in place; what lies deeper than ``owner`` is copied before it is changed."""
    key = str(steps[0])
    remaining = _removed(owner[key], steps[1:])
    if remaining in (None, {}):
        del owner[key]
    else:
        owner[key] = remaining


def _removed(value: object, steps: Steps) -> object:
    if not steps:
        return None
    if isinstance(value, list):
        place = int(steps[0])
        return [*value[:place], _removed(value[place], steps[1:]), *value[place + 1 :]]
    copy = dict(value)  # type: ignore[call-overload]  # _resolve has been there
    _remove(copy, steps)
    return copy
