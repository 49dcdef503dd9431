"""Kinds of inputs that people have, over HTTP, without jobs. Those with a job: tests/e2e/test_folders.py.

Tables are in tests/app/datasets/test_cases.py, labels of teachers in tests/app/jobs/test_compatibility.py.
"""

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoTokenizer

from app.engine.tokenizing import TextTokenizer
from tests.app.conftest import Api
from tests.app.datasets.uploads import post
from tests.tiny import tiny_model_folder, zipped

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS = "abcdefghijklmnopqrstuvwxyzé"
TEXTS = ["Café covid, @user!", "the url [URL] film", "é É e"]


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """A model with a word list and nothing else of a tokenizer."""
    folder = tiny_model_folder(tmp_path / "model", labels=["bad", "good"])
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").unlink()
    tokens = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), "film", "café", "cafe"]
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n")
    return folder


def write(folder: Path, name: str, **content: object) -> None:
    (folder / name).write_text(json.dumps(content))


def assert_read_as_transformers_reads_it(api: Api, folder: Path) -> None:
    response = api.upload_model(zipped(folder))
    assert response.status_code == 201, response.json()
    path = f"/v1/models/{response.json()['id']}/artifacts"
    taken = folder.with_name("taken")
    taken.mkdir()
    for name in ("tokenizer.json", "tokenizer_config.json", "config.json"):
        (taken / name).write_bytes(api.http.get(f"{path}/{name}").content)
    served = TextTokenizer.from_file(taken / "tokenizer.json", max_length=64)
    original, again = AutoTokenizer.from_pretrained(folder), AutoTokenizer.from_pretrained(taken)
    for text in TEXTS:
        assert served.encode([text])[0].ids == original(text)["input_ids"] == again(text)["input_ids"]


def test_added_tokens(api: Api, words: Path) -> None:
    write(words, "added_tokens.json", **{"@user": 62, "[URL]": 63, "covid": 64})
    write(words, "special_tokens_map.json", additional_special_tokens=["[URL]"])
    assert_read_as_transformers_reads_it(api, words)


def test_settings_against_tokenizer_json(api: Api, words: Path) -> None:
    AutoTokenizer.from_pretrained(words).save_pretrained(words)
    settings = json.loads((words / "tokenizer_config.json").read_text())
    write(words, "tokenizer_config.json", **settings | {"strip_accents": False})
    assert_read_as_transformers_reads_it(api, words)


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer"}, "set tokenizer_class to PreTrainedTokenizerFast"),
        ({"do_basic_tokenize": False}, "do_basic_tokenize: false"),
    ],
)
def test_tokenizers_that_run_python(api: Api, words: Path, values: dict, says: str) -> None:
    write(words, "tokenizer_config.json", **values)
    response = api.upload_model(zipped(words))
    assert response.status_code == 422
    assert says in response.json()["detail"]
    assert api.stored() == []


def test_a_struct_of_translations(api: Api) -> None:
    table, buffer = (
        pa.table({"translation": [{"de": "gut", "en": "good"}, {"de": "neu", "en": "new"}]}),
        io.BytesIO(),
    )
    pq.write_table(table, buffer)
    parquet = ("t.parquet", buffer.getvalue())
    columns = json.dumps({"source": "translation.en", "target": "translation.de"})
    response = post(api, {"task": "translation", "columns": columns}, train=parquet, dev=parquet)
    assert response.status_code == 201, response.json()
    first = response.json()["reading"]["splits"]["train"]["first_rows"][0]
    assert first == {"source": "good", "target": "gut"}
