"""Translations over HTTP, against ``generate`` of transformers."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub import InferenceClient
from tokenizers import Tokenizer

from app.core.settings import Settings
from app.engine.encoder_decoder import OnnxEncoderDecoder
from app.engine.generation import Decoding, SpecialTokens
from app.engine.tokenizing import TextTokenizer
from app.inference.predictors.predictor import Run
from app.inference.predictors.translator import TranslationOptions, Translator
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import END, MAX_LENGTH, PAD, Folders, load
from tests.tiny import tiny_examples

TEXTS = ["", "superb", *(example["text"] for example in tiny_examples(14))]


class Reference:
    """The torch network, and what it would write."""

    def __init__(self, folder: Path) -> None:
        self._network = load("translation", folder)
        self._reader = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self._reader.enable_truncation(MAX_LENGTH)

    def translate(self, texts: list[str], *, limit: int, beams: int = 1, penalty: float = 1.0) -> list[str]:
        self._reader.enable_padding(pad_id=PAD)
        encodings = self._reader.encode_batch(texts)
        with torch.no_grad():
            written = self._network.generate(
                input_ids=torch.tensor([encoding.ids for encoding in encodings]),
                attention_mask=torch.tensor([encoding.attention_mask for encoding in encodings]),
                max_new_tokens=limit,
                num_beams=beams,
                length_penalty=penalty,
                early_stopping=False,
                do_sample=False,
                bad_words_ids=[[PAD]],
                forced_eos_token_id=None,
            ).tolist()
        return [" ".join(f"w{id_}" for id_ in ids if id_ not in (PAD, END)) for ids in written]

    def translate_alone(self, text: str) -> str:
        """As greedily, and as far, as the service does where nothing else is asked."""
        self._reader.no_padding()
        tokens = len(self._reader.encode(text).ids)
        (written,) = self.translate([text], limit=min(MAX_LENGTH, 3 * tokens + 10))
        return written


@pytest.fixture(scope="module")
def reference(exported_folder: Folders) -> Reference:
    return Reference(exported_folder("marian", "translation"))


@pytest.fixture
def model_id(register: Register) -> str:
    return register("marian", task="translation")


def translations(response: httpx.Response) -> list[str]:
    return [answer["translation_text"] for answer in response.raise_for_status().json()]


class TestAnswers:
    @pytest.mark.parametrize(
        "search",
        [
            {"limit": 20},
            {"limit": 20, "beams": 4},
            {"limit": 5, "beams": 4},
            {"limit": 12, "beams": 8, "penalty": 2.0},
            {"limit": 12, "beams": 2, "penalty": 0.0},
        ],
    )
    def test_equal_generate(
        self, client: httpx.Client, model_id: str, reference: Reference, search: dict[str, Any]
    ) -> None:
        names = {"beams": "num_beams", "limit": "max_new_tokens", "penalty": "length_penalty"}
        parameters = {names[name]: value for name, value in search.items()}
        answers = translations(predict(client, model_id, TEXTS, **parameters))
        assert answers == reference.translate(TEXTS, **search)
        assert len(set(answers)) > len(TEXTS) // 3

    def test_are_greedy_where_nothing_is_asked(
        self, client: httpx.Client, model_id: str, reference: Reference
    ) -> None:
        assert predict(client, model_id, TEXTS[2]).json() == [
            {"translation_text": reference.translate_alone(TEXTS[2])}
        ]
        # A penalty weighs what beams found, and there are none.
        assert translations(predict(client, model_id, TEXTS[2:4], length_penalty=0)) == translations(
            predict(client, model_id, TEXTS[2:4])
        )

    def test_of_texts_too_long_are_of_their_beginning(
        self, client: httpx.Client, model_id: str, reference: Reference
    ) -> None:
        long = " ".join(TEXTS)
        assert translations(predict(client, model_id, [long])) == [reference.translate_alone(long)]

    def test_reach_the_client_who_asked(self, server_url: str, model_id: str, reference: Reference) -> None:
        """Many at once, differing in length, number and search."""
        expected = {
            (text, beams): translation
            for beams in (1, 3)
            for text, translation in zip(
                TEXTS, reference.translate(TEXTS, limit=15, beams=beams), strict=True
            )
        }

        async def ask_often(number: int, session: httpx.AsyncClient) -> None:
            for step in range(4):
                beams = (1, 3)[(number + step) % 2]
                asked = [TEXTS[(number * 5 + step * 3 + i) % len(TEXTS)] for i in range(1 + number % 3)]
                body = {"inputs": asked, "parameters": {"num_beams": beams, "max_new_tokens": 15}}
                response = await session.post(f"/v1/models/{model_id}/predict", json=body)
                assert translations(response) == [expected[text, beams] for text in asked]

        async def ask_together() -> None:
            async with httpx.AsyncClient(base_url=server_url, timeout=60) as session:
                await asyncio.gather(*(ask_often(number, session) for number in range(12)))

        asyncio.run(ask_together())

    def test_of_int8_are_of_other_files(self, client: httpx.Client, model_id: str) -> None:
        fp32, int8 = (
            translations(predict(client, model_id, TEXTS, precision=precision))
            for precision in ("fp32", "int8")
        )
        assert fp32 != int8
        assert len(int8) == len(TEXTS)

    def test_reach_the_client_of_hugging_face(
        self, server_url: str, model_id: str, reference: Reference
    ) -> None:
        hub = InferenceClient(model=f"{server_url}/v1/models/{model_id}/predict")
        assert hub.translation(TEXTS[3]).translation_text == reference.translate_alone(TEXTS[3])
        beams = hub.translation(TEXTS[3], generate_parameters={"num_beams": 4, "max_new_tokens": 6})
        assert [beams.translation_text] == reference.translate(TEXTS[3:4], beams=4, limit=6)


class TestRefusals:
    def test_of_more_tokens_than_the_model_writes(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, "a", max_new_tokens=MAX_LENGTH + 1)
        assert response.status_code == 422
        assert f"at most {MAX_LENGTH}" in response.json()["detail"]
        assert response.json()["errors"][0]["pointer"] == "#/parameters/max_new_tokens"
        assert predict(client, model_id, "a", max_new_tokens=MAX_LENGTH).status_code == 200

    def test_of_a_pair(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, {"text": "a", "text_pair": "b"})
        assert response.status_code == 422
        assert response.json()["type"].endswith("pairs_not_supported")
        assert response.json()["errors"][0]["pointer"] == "#/inputs"

    def test_of_parameters_for_the_search_name_them(self, client: httpx.Client, model_id: str) -> None:
        response = predict(client, model_id, "a", generate_parameters={"temperature": 1})
        assert response.status_code == 422
        assert "'temperature'" in response.json()["detail"]


class TestRuns:
    def test_leave_out_texts_that_nobody_waits_for(self, exported_folder: Folders) -> None:
        folder = exported_folder("marian", "translation")
        source, target = (
            TextTokenizer.from_file(folder / name, max_length=MAX_LENGTH)
            for name in ("tokenizer.json", "target_tokenizer.json")
        )
        network = OnnxEncoderDecoder(
            folder / "encoder.fp32.onnx",
            folder / "decoder.fp32.onnx",
            special=SpecialTokens(start=PAD, end=END, pad=PAD),
            max_tokens=MAX_LENGTH,
            threads=1,
        )
        translator = Translator(network, source_tokenizer=source, target_tokenizer=target)
        options = translator.run_options(TEXTS, TranslationOptions(Decoding(beams=2)))
        texts = translator.encode(TEXTS, options)
        whole = translator.run(Run(texts, options, is_wanted=lambda _: True))
        gone = max(range(len(TEXTS)), key=lambda number: len(whole[number]))
        some = translator.run(Run(texts, options, is_wanted=lambda number: number != gone))
        assert len(some[gone]) < len(whole[gone])
        del some[gone], whole[gone]
        assert some == whole


@pytest.mark.own_server
class TestFiles:
    def test_of_one_precision_are_copied(
        self, client: httpx.Client, model_id: str, settings: Settings
    ) -> None:
        predict(client, model_id, "superb", precision="int8").raise_for_status()
        copies = {path.name for path in (settings.data_dir / "inference-cache").rglob("*") if path.is_file()}
        assert copies == {
            "encoder.int8.onnx",
            "decoder.int8.onnx",
            "config.json",
            "tokenizer.json",
            "target_tokenizer.json",
        }

    def test_that_are_damaged_are_named(
        self, client: httpx.Client, model_id: str, settings: Settings
    ) -> None:
        path = settings.data_dir / "files" / "models" / model_id / "decoder.fp32.onnx"
        path.write_bytes(path.read_bytes()[:-1] + b"x")
        response = predict(client, model_id, "superb")
        assert response.status_code == 503
        assert "decoder.fp32.onnx" in response.json()["detail"]
