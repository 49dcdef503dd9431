"""Inputs that fuzzing has found or began with, and a few changes of those that are JSON."""

from pathlib import Path
from random import Random

import pytest

from tests.fuzz.mutations import mutate_json
from tests.fuzz.targets import OF_JSON, TARGETS

CORPUS = Path(__file__).with_name("corpus")
MUTATIONS = {"configs": 200, "tokenizers": 10, "predictions": 200, "json_tables": 100, "tensors": 200}


@pytest.mark.parametrize("name", TARGETS)
def test_nothing_but_documented_errors_comes_out(name: str):
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs
    for path in inputs:
        TARGETS[name](path.read_bytes())


@pytest.mark.parametrize("name", OF_JSON)
def test_nor_of_json_that_is_changed(name: str):
    random, prefix = Random(0), OF_JSON[name]
    inputs = [path.read_bytes() for path in sorted((CORPUS / name).iterdir())]
    for _ in range(MUTATIONS[name]):
        content = random.choice(inputs)
        changed = mutate_json(content[prefix:], random)
        if changed is not None:
            TARGETS[name](content[:prefix] + changed)


def test_the_corpus_is_small():
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 200_000
