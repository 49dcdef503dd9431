"""Changes of JSON that keep it JSON: changes of its bytes hardly ever get past the parser."""

import json
from copy import deepcopy
from random import Random
from typing import Any

ODD: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 2**31, 2**63, 2**64, -(2**63), 10**40, 0.5, -0.0, 1e308, float("nan")),
    *(float("inf"), "", " ", "\0", "\n", "\ud800", "\udc00\ud800", "\u202e", "\ufeff", "\U0001f600" * 20),
    *("a" * 300, "[UNK]", "0", "1", [], {}, [[]], [None], {"": None}, {"type": "Sequence"}, ["a", "b"]),
)


def mutate_json(content: bytes, random: Random) -> bytes | None:
    """One to three changes; None where the content is no JSON."""
    try:
        document = [json.loads(content)]
    except (ValueError, RecursionError):
        return None
    for _ in range(random.randint(1, 3)):
        _change(document, random)
    return json.dumps(document[0], ensure_ascii=random.random() < 0.9).encode(errors="surrogatepass")


def _change(document: list[Any], random: Random) -> None:
    containers = [value for value in _values(document) if isinstance(value, dict | list) and value]
    container = random.choice(containers)
    key: Any = random.choice(list(container) if isinstance(container, dict) else range(len(container)))
    odd = deepcopy(random.choice(ODD))
    changed = [odd, odd, odd, _value_of(document, random), [container[key]], {"type": container[key]}]
    changed += [_altered(container[key], str(odd)[:8], random)] * 2
    choice = random.randrange(len(changed) + 2)
    if choice < len(changed):
        container[key] = changed[choice]
    elif choice == len(changed) and container is not document:
        del container[key]
    elif isinstance(container, dict):
        container[str(odd)] = container[key]
    elif container is not document:
        container.insert(key, odd)


def _altered(value: Any, odd: str, random: Random) -> Any:
    if isinstance(value, str):
        at = random.randint(0, len(value))
        return value[:at] + odd + value[at:]
    return value + random.choice((-1, 1, 7, 2**16)) if isinstance(value, int | float) else value


def _value_of(document: list[Any], random: Random) -> Any:
    return json.loads(json.dumps(random.choice(list(_values(document)))))


def _values(value: Any) -> list[Any]:
    found, pending = [], [value]
    while pending and len(found) < 20_000:
        inner = pending.pop()
        found.append(inner)
        if isinstance(inner, dict):
            pending += inner.values()
        elif isinstance(inner, list):
            pending += inner
    return found
