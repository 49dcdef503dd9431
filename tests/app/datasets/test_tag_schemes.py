"""Schemes of tags: what they say, read as IOB2."""

import random
from collections import Counter

import pytest

from tests.app.datasets.test_token_classification import post_tags, tagged
from tests.app.datasets.uploads import refused, stored_table

Spans = set[tuple[int, int, str]]


def random_spans(generator: random.Random, length: int) -> Spans:
    spans: Spans = set()
    start = 0
    while start < length:
        end = start + generator.randint(1, 3)
        if generator.random() < 0.6 and end <= length:
            spans.add((start, end, generator.choice("XY")))
        start = end
    return spans


def write(spans: Spans, length: int, *, first: str, last: str, single: str, inner: str) -> list[str]:
    tags = ["O"] * length
    for start, end, kind in spans:
        tags[start:end] = [inner + kind] * (end - start)
        tags[end - 1] = last + kind
        tags[start] = (first if end - start > 1 else single) + kind
    return tags


def write_iob1(spans: Spans, length: int) -> list[str]:
    tags = ["O"] * length
    for start, end, kind in spans:
        follows = any(other == (begin, start, kind) for other in spans for begin in [other[0]])
        tags[start:end] = [f"I-{kind}"] * (end - start)
        tags[start] = ("B-" if follows else "I-") + kind
    return tags


def read_iob2(tags: list[str]) -> Spans:
    """A strict reading: I- continues what B- began, or is wrong."""
    spans: Spans = set()
    for start, tag in enumerate(tags):
        if tag[0] == "B":
            end = start + 1
            while end < len(tags) and tags[end] == f"I-{tag[2:]}":
                end += 1
            spans.add((start, end, tag[2:]))
    covered = sum(end - start for start, end, _ in spans)
    assert covered == sum(tag != "O" for tag in tags), tags
    return spans


def merged(spans: Spans) -> Spans:
    """Neighbours of one kind as one."""
    result: list[tuple[int, int, str]] = []
    for start, end, kind in sorted(spans):
        if result and (result[-1][1], result[-1][2]) == (start, kind):
            result[-1] = (result[-1][0], end, kind)
        else:
            result.append((start, end, kind))
    return set(result)


class TestSchemes:
    @pytest.mark.parametrize("scheme", ["IOB2", "IOB1", "BIOES", "BILOU", "IO", "I-"])
    def test_each_keeps_its_entities(self, api, tmp_path, scheme):
        generator = random.Random(7)
        lengths = [generator.randint(1, 12) for _ in range(300)]
        spans = [random_spans(generator, length) for length in lengths]
        marks = {
            "IOB2": {"first": "B-", "last": "I-", "single": "B-", "inner": "I-"},
            "BIOES": {"first": "B-", "last": "E-", "single": "S-", "inner": "I-"},
            "BILOU": {"first": "B-", "last": "L-", "single": "U-", "inner": "I-"},
            "IO": dict.fromkeys(["first", "last", "single", "inner"], ""),
            "I-": dict.fromkeys(["first", "last", "single", "inner"], "I-"),
        }
        written = [
            write_iob1(row, length) if scheme == "IOB1" else write(row, length, **marks[scheme])
            for row, length in zip(spans, lengths, strict=True)
        ]
        expected = [merged(row) for row in spans] if scheme in ("IO", "I-") else spans
        response = post_tags(api, tagged(*written))
        dataset = response.json()
        assert response.status_code == 201, dataset
        names = dataset["labels"]
        assert names == ["O", "B-X", "I-X", "B-Y", "I-Y"]
        stored = stored_table(api, dataset, "train", tmp_path)["tags"]
        assert [read_iob2([names[tag] for tag in tags]) for tags in stored] == expected
        train = dataset["splits"]["train"]
        assert train["labels"] == dict(Counter(kind for row in expected for _, _, kind in sorted(row)))
        assert (train["repaired_tags"] > 0) == (scheme in ("IOB1", "I-"))

    def test_repaired_tags_are_counted(self, api, tmp_path):
        rows = tagged(["O", "I-X", "I-X"], ["I-X", "I-Y", "B-Y", "I-Y"])
        dataset = post_tags(api, rows, tagged(["O", "B-X"])).json()
        assert dataset["splits"]["train"]["repaired_tags"] == 3
        assert dataset["splits"]["dev"]["repaired_tags"] == 0
        assert stored_table(api, dataset, "train", tmp_path)["tags"] == [[0, 1, 2], [1, 3, 3, 4]]

    def test_spaces_around_tags_make_no_others(self, api, tmp_path):
        dataset = post_tags(api, tagged(["O", "B-X ", " I-X"], ["O ", "B-X", "I-X"])).json()
        assert dataset["labels"] == ["O", "B-X", "I-X"]
        assert stored_table(api, dataset, "train", tmp_path)["tags"] == [[0, 1, 2]] * 2

    def test_schemes_mixed(self, api):
        response = post_tags(api, tagged(["O", "B-X"], ["O", "Y"]))
        assert "train, line 2: the tag 'Y' is neither" in refused(api, response, "mixed_tags")

    def test_a_plain_kind_with_a_dash(self, api):
        assert post_tags(api, tagged(["O", "E-MAIL"])).json()["labels"] == ["O", "B-E-MAIL", "I-E-MAIL"]
