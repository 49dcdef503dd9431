"""How many threads a session gets, and the copies that it reads."""

from pathlib import Path

import pytest

from app.core.db import DEFAULT_PROJECT
from app.core.storage import Storage
from app.domain.architectures import (
    Architecture,
    BiLstmArchitecture,
    BiLstmShape,
    EncoderArchitecture,
    EncoderDecoderArchitecture,
    EncoderDecoderShape,
    EncoderShape,
)
from app.domain.tasks import Head
from app.engine.threads import share_threads
from app.inference.model_files import ModelFiles


@pytest.mark.parametrize(
    ("layers", "hidden", "cores", "expected"),
    [
        (3, 192, 2, (1, 2)),
        (6, 384, 2, (1, 2)),
        (12, 768, 2, (2, 1)),
        (12, 768, 32, (8, 4)),
        (6, 384, 1, (1, 1)),
    ],
)
def test_large_networks_get_several_threads(
    layers: int, hidden: int, cores: int, expected: tuple[int, int]
) -> None:
    shape = EncoderShape(layers=layers, hidden=hidden, heads=12, ffn=4 * hidden)
    architecture = EncoderArchitecture(
        family="bert", shape=shape, vocabulary=30_522, positions=512, token_types=2
    )
    head = Head(task="text_classification", outputs=2)
    assert share_threads(cores, architecture, head) == expected


@pytest.mark.parametrize(
    ("architecture", "head", "expected"),
    [
        (
            EncoderDecoderArchitecture(
                shape=EncoderDecoderShape(encoder_layers=6, decoder_layers=6, hidden=512, heads=8, ffn=2048),
                vocabulary=58_101,
                positions=512,
            ),
            Head(task="translation", outputs=58_101),
            (4, 2),
        ),
        (
            BiLstmArchitecture(
                shape=BiLstmShape(embedding=300, hidden=600, projection=768),
                vocabulary=100_000,
                positions=512,
            ),
            Head(task="token_classification", outputs=9),
            (1, 8),
        ),
    ],
)
def test_threads_are_counted_by_what_computes(
    architecture: Architecture, head: Head, expected: tuple[int, int]
) -> None:
    assert share_threads(8, architecture, head) == expected


def test_copies_do_not_pile_up(tmp_path: Path, storage: Storage) -> None:
    files = ModelFiles(storage, tmp_path / "copies", keep=2)
    manifests = []
    for number in range(4):
        source = tmp_path / f"source-{number}"
        source.mkdir()
        (source / "tokenizer.json").write_text(str(number))
        manifests.append(storage.put_folder(f"models/{number}", source))
    for number in (0, 1, 0, 2, 3):
        assert files.fetch(DEFAULT_PROJECT, manifests[number], "tokenizer.json").read_text() == str(number)
    assert len(list((tmp_path / "copies").iterdir())) == 2
