"""Folders of sentence-transformers mean what it means by them, and students are such folders."""

import json
import shutil
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from sentence_transformers import SentenceTransformer

from app.domain.documents.manifest import ModelManifest
from app.domain.errors import InvalidRequest
from app.domain.pooling import MODE_KEYS, Pooling, PoolingMode
from app.domain.tasks import Head
from app.intake.models.folder import prepare
from tests.tiny import tiny_examples, tiny_model_folder
from tests.worker.compression import STUDENT_SHAPE, encoder_card
from worker.data.tokenization import tokenize
from worker.evaluation.evaluate import predict_logits
from worker.networks.loading import build_network, load_teacher, save_network, save_tokenizers
from worker.networks.pooled import set_pooling

TASK = "sentence_embedding"
TEXTS = [example["text"] for example in tiny_examples(6)] + ["good " * 30, "Good Film"]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An encoder without a word on vectors."""
    folder = tmp_path_factory.mktemp("encoder") / "model"
    tiny_model_folder(folder, **STUDENT_SHAPE.model_dump(exclude_none=True))
    names = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **names}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder(encoder: Path, tmp_path: Path) -> Path:
    return shutil.copytree(encoder, tmp_path / "upload")


def add_modules(folder: Path, *kinds: tuple[str, dict[str, Any]]) -> None:
    """As sentence-transformers lists them, after the encoder at the top."""
    listed = [{"idx": 0, "name": "0", "path": "", "type": "sentence_transformers.models.Transformer"}]
    for place, (kind, config) in enumerate(kinds, 1):
        path = folder / f"{place}_{kind}"
        path.mkdir()
        (path / "config.json").write_text(json.dumps(config))
        kind_of = f"sentence_transformers.models.{kind}"
        listed.append({"idx": place, "name": str(place), "path": path.name, "type": kind_of})
    (folder / "modules.json").write_text(json.dumps(listed))


def add_dense(folder: Path, activation: str) -> None:
    width = STUDENT_SHAPE.hidden
    config = {"in_features": width, "out_features": 5, "bias": True, "activation_function": activation}
    add_modules(folder, ("Pooling", {"word_embedding_dimension": width}), ("Dense", config))
    generator = torch.Generator().manual_seed(0)
    weights = {
        "linear.weight": torch.randn(5, width, generator=generator),
        "linear.bias": torch.randn(5, generator=generator),
    }
    save_file(weights, folder / "2_Dense" / "model.safetensors")


def theirs(folder: Path) -> np.ndarray:
    """The vectors of sentence-transformers."""
    return SentenceTransformer(str(folder), device="cpu").encode(TEXTS)


def taken(folder: Path) -> tuple[ModelManifest, Path]:
    stored = folder.parent / "stored"
    stored.mkdir()
    # The upload's files are moved.
    copy = shutil.copytree(folder, folder.parent / "copy")
    return prepare(copy, stored), stored


def ours(manifest: ModelManifest, stored: Path) -> np.ndarray:
    """The vectors of this service."""
    teacher = load_teacher(stored, manifest, task=TASK, labels=[])
    split = tokenize(TEXTS, tokenizer=teacher.tokenizer, max_length=manifest.max_length)
    return predict_logits(teacher.network, split, pad_id=0, device=torch.device("cpu"))


def same(folder: Path) -> ModelManifest:
    """Both vectors of an upload, and of what is stored of it, are the same."""
    manifest, stored = taken(folder)
    vectors = ours(manifest, stored)
    np.testing.assert_allclose(vectors, theirs(folder), atol=1e-5)
    np.testing.assert_allclose(vectors, theirs(stored), atol=1e-5)
    assert manifest.task == TASK
    assert manifest.dimensions == vectors.shape[1]
    return manifest


@pytest.mark.parametrize("mode", get_args(PoolingMode))
def test_every_mode_is_read_by_its_old_keys(mode: PoolingMode, folder: Path) -> None:
    modes = {key: name == mode for name, key in MODE_KEYS.items()}
    config = {"word_embedding_dimension": STUDENT_SHAPE.hidden, **modes}
    add_modules(folder, ("Pooling", config), ("Normalize", {}))
    assert same(folder).pooling == Pooling(mode=mode, normalize=True)


def test_a_mode_is_read_by_its_new_key_and_the_mean_by_none(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other" / "upload")
    add_modules(folder, ("Pooling", {"embedding_dimension": 16, "pooling_mode": "cls"}))
    add_modules(other, ("Pooling", {"word_embedding_dimension": 16}))
    assert same(folder).pooling == Pooling(mode="cls")
    assert same(other).pooling == Pooling()


@pytest.mark.parametrize("activation", ["Tanh", "Identity"])
def test_a_dense_module_is_read(activation: str, folder: Path) -> None:
    kind = {"Tanh": "activation.Tanh", "Identity": "linear.Identity"}[activation]
    add_dense(folder, f"torch.nn.modules.{kind}")
    manifest = same(folder)
    assert manifest.pooling == Pooling(projection=5, activation=activation.lower())


def test_length_and_letters_are_those_of_the_folder(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    tokenizer["normalizer"] = None  # so that letters matter
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    add_modules(folder, ("Pooling", {"word_embedding_dimension": 16}))
    settings = {"max_seq_length": 12, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(settings))
    assert same(folder).max_length == 12


def test_an_encoder_that_says_nothing_gives_the_mean_of_its_states(folder: Path) -> None:
    manifest, stored = taken(folder)
    assert manifest.pooling is None
    add_modules(folder, ("Pooling", {"word_embedding_dimension": 16}))
    np.testing.assert_allclose(ours(manifest, stored), theirs(folder), atol=1e-5)


@pytest.mark.parametrize(
    ("modules", "what"),
    [
        ([("Pooling", {"pooling_mode": ["cls", "mean"]})], "cls, mean"),
        ([("Pooling", {"pooling_mode": "attention"})], "attention"),
        ([("Pooling", {"word_embedding_dimension": 99})], "99"),
        ([("WeightedLayerPooling", {}), ("Pooling", {})], "WeightedLayerPooling"),
        ([("Pooling", {}), ("Normalize", {}), ("Dense", {})], "Pooling, Normalize, Dense"),
        ([("Pooling", {}), ("Dense", {"use_residual": True})], "use_residual"),
        ([("Pooling", {}), ("Dense", {"activation_function": "torch.nn.modules.activation.ReLU"})], "ReLU"),
    ],
)
def test_other_modules_are_refused_by_name(
    modules: list[tuple[str, dict[str, Any]]], what: str, folder: Path
) -> None:
    add_modules(folder, *modules)
    with pytest.raises(InvalidRequest, match=what) as caught:
        taken(folder)
    assert caught.value.code == "unsupported_modules"


def test_a_prompt_before_every_text_is_refused(folder: Path) -> None:
    add_modules(folder, ("Pooling", {}))
    prompts = {"prompts": {"query": "query: "}, "default_prompt_name": "query"}
    (folder / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    with pytest.raises(InvalidRequest, match="query"):
        taken(folder)


@pytest.mark.parametrize("family", ["bert", "modernbert"])
def test_a_student_is_a_folder_of_sentence_transformers(family: str, tmp_path: Path) -> None:
    source = tmp_path / "source"
    tiny_model_folder(source, family=family, **STUDENT_SHAPE.model_dump(exclude_none=True))
    (tmp_path / "stored").mkdir()
    teacher = load_teacher(tmp_path / "stored", prepare(source, tmp_path / "stored"), task=TASK, labels=[])
    config = teacher.network.config
    set_pooling(config, Pooling(mode="max", normalize=True))
    architecture = encoder_card(family)
    torch.manual_seed(0)
    student = build_network(config, architecture, Head(task=TASK, outputs=7))
    folder = tmp_path / "student"
    save_network(student, folder)
    save_tokenizers(teacher, folder, max_length=32, token_types=architecture.token_types)
    split = tokenize(TEXTS, tokenizer=teacher.tokenizer, max_length=32)
    vectors = predict_logits(student, split, pad_id=0, device=torch.device("cpu"))
    np.testing.assert_allclose(vectors, theirs(folder), atol=1e-5)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
