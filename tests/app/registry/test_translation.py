"""Marian models: taken as transformers saves them and as this service stores them, or refused with advice."""

import json
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from tests.app.registry.conftest import (
    accepted,
    downloaded,
    edit_config,
    edit_tensors,
    parameters_by_arithmetic,
    refused,
)
from tests.app.registry.translation import (
    ENGLISH,
    GERMAN,
    joint_vocabulary,
    marian_folder,
    train_sentencepiece,
)
from tests.tiny import zipped


@pytest.fixture(scope="session")
def sides() -> tuple[bytes, bytes]:
    return train_sentencepiece(ENGLISH), train_sentencepiece(GERMAN)


@pytest.fixture(scope="session")
def pristine(tmp_path_factory, sides) -> Path:
    return marian_folder(tmp_path_factory.mktemp("marian") / "model", *sides)


@pytest.fixture
def narrow(folder) -> Path:
    """A student whose decoder is half as wide."""
    from transformers import MarianConfig

    from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape
    from app.domain.tasks import Head
    from worker.networks.loading import build_network

    config = MarianConfig.from_pretrained(folder)
    shape = EncoderDecoderShape(
        encoder_layers=2, decoder_layers=1, hidden=16, heads=2, ffn=32, decoder_hidden=8, decoder_ffn=16
    )
    architecture = EncoderDecoderArchitecture(shape=shape, vocabulary=config.vocab_size, positions=64)
    head = Head.of("translation", labels=0, vocabulary=config.vocab_size)
    build_network(config, architecture, head).save_pretrained(folder)
    return folder


class TestTaken:
    def test_as_transformers_saves_it(self, api, folder):
        model = accepted(api, folder)
        assert (model["architecture"], model["task"], model["labels"]) == ("marian", "translation", None)
        assert (
            model["shape"] | {"decoder_hidden": None, "decoder_heads": None, "decoder_ffn": None}
            == model["shape"]
        )
        assert (model["shape"]["encoder_layers"], model["shape"]["decoder_layers"]) == (2, 1)
        assert (model["shape"]["hidden"], model["shape"]["heads"], model["shape"]["ffn"]) == (16, 2, 32)
        assert model["manifest"]["max_length"] == 64
        assert model["parameters"] == parameters_by_arithmetic(model)
        assert sorted(model["manifest"]["files"]["entries"]) == [
            "config.json",
            "model.safetensors",
            "target_tokenizer.json",
            "tokenizer.json",
            "tokenizer_config.json",
        ]

    def test_what_is_stored_can_be_uploaded_again(self, api, folder, tmp_path):
        model = accepted(api, folder)
        again = accepted(api, downloaded(api, model, tmp_path / "again"))
        assert again["manifest"]["files"]["entries"] == model["manifest"]["files"]["entries"]

    def test_what_is_stored_is_a_folder_of_transformers(self, api, folder, tmp_path):
        import torch
        from transformers import AutoModelForSeq2SeqLM

        stored = downloaded(api, accepted(api, folder), tmp_path / "stored")
        ids = torch.tensor([[5, 6, 7, 0]])
        ours, theirs = (
            AutoModelForSeq2SeqLM.from_pretrained(path).eval()(input_ids=ids, decoder_input_ids=ids).logits
            for path in (stored, folder)
        )
        assert torch.equal(ours, theirs)

    def test_one_language_for_both(self, api, tmp_path, sides):
        folder = marian_folder(tmp_path / "model", sides[0], sides[0])
        assert "target_tokenizer.json" not in accepted(api, folder)["manifest"]["files"]["entries"]

    def test_a_tokenizer_of_one_file(self, api, folder, tmp_path):
        """As the service's own models have it."""
        stored = downloaded(api, accepted(api, folder), tmp_path / "stored")
        (stored / "target_tokenizer.json").unlink()
        model = accepted(api, stored)
        assert "target_tokenizer.json" not in model["manifest"]["files"]["entries"]

    def test_a_decoder_of_another_width(self, api, narrow, tmp_path):
        model = accepted(api, narrow)
        assert (model["shape"]["decoder_hidden"], model["shape"]["decoder_ffn"]) == (8, 16)
        assert model["parameters"] == parameters_by_arithmetic(model)
        stored = downloaded(api, model, tmp_path / "again")
        assert accepted(api, stored)["manifest"]["files"]["entries"] == model["manifest"]["files"]["entries"]

    def test_what_else_configs_of_the_hub_say(self, api, folder, tmp_path):
        labels = {str(index): f"LABEL_{index}" for index in range(3)}
        edit_config(
            folder,
            _name_or_path="opus-mt-en-de",
            add_bias_logits=False,
            add_final_layer_norm=False,
            bad_words_ids=[[60]],
            bos_token_id=0,
            classif_dropout=0.0,
            id2label=labels,
            label2id={label: int(index) for index, label in labels.items()},
            normalize_before=False,
            normalize_embedding=False,
            num_beams=6,
            num_hidden_layers=6,
            static_position_embeddings=True,
        )
        model = accepted(api, folder)
        assert model["labels"] is None
        stored = json.loads((downloaded(api, model, tmp_path / "stored") / "config.json").read_text())
        assert stored["num_beams"] == 6
        assert not {"_name_or_path", "bad_words_ids", "id2label", "num_hidden_layers"} & set(stored)

    def test_one_that_was_trained_from_scratch(self, api, tmp_path):
        """Its vocabulary is of bytes, and ids of special pieces are others than Marian's."""
        from app.domain.architectures import EncoderDecoderArchitecture, EncoderDecoderShape
        from app.domain.tasks import Head
        from worker.networks.loading import build_network, save_network
        from worker.networks.new_tokenizer import train_tokenizer
        from worker.networks.new_translator import marian_config

        tokenizer = train_tokenizer([" ".join(ENGLISH), " ".join(GERMAN)], vocabulary=300)
        config = marian_config(tokenizer, positions=32)
        shape = EncoderDecoderShape(encoder_layers=1, decoder_layers=1, hidden=16, heads=2, ffn=32)
        architecture = EncoderDecoderArchitecture(shape=shape, vocabulary=300, positions=32)
        head = Head.of("translation", labels=0, vocabulary=300)
        folder = tmp_path / "model"
        save_network(build_network(config, architecture, head), folder)
        tokenizer.save(str(folder / "tokenizer.json"))
        model = accepted(api, folder)
        assert model["parameters"] == parameters_by_arithmetic(model)
        stored = downloaded(api, model, tmp_path / "stored")
        assert json.loads((stored / "config.json").read_text())["forced_eos_token_id"] == config.eos_token_id

    def test_how_to_generate(self, api, folder, tmp_path):
        """Where config.json does not say it, another file does."""
        (folder / "generation_config.json").write_text('{"num_beams": 6, "max_length": 48}')
        edit_config(folder, max_length=32)
        config = json.loads(
            (downloaded(api, accepted(api, folder), tmp_path / "s") / "config.json").read_text()
        )
        assert (config["num_beams"], config["max_length"]) == (6, 32)

    def test_copies_and_constants(self, api, folder):
        """Early files hold the word table up to four times, and the positions."""

        def add(tensors):
            from transformers.models.marian.modeling_marian import MarianSinusoidalPositionalEmbedding

            words = tensors["model.shared.weight"]
            for name in ("lm_head", "model.encoder.embed_tokens", "model.decoder.embed_tokens"):
                tensors[f"{name}.weight"] = words.copy()
            positions = MarianSinusoidalPositionalEmbedding(64, 16)
            positions.weight.data.copy_(positions.create_weight())
            for side in ("encoder", "decoder"):
                values = positions.weight.detach().numpy().astype(np.float16)
                tensors[f"model.{side}.embed_positions.weight"] = values

        edit_tensors(folder, add)
        model = accepted(api, folder)
        assert model["parameters"] == parameters_by_arithmetic(model)

    def test_no_bias_of_the_output(self, api, folder):
        edit_tensors(folder, lambda tensors: tensors.pop("final_logits_bias"))
        accepted(api, folder)

    def test_languages_to_choose_from(self, api, tmp_path, sides):
        """Models of several targets are told which one by a first word."""
        vocabulary = joint_vocabulary(*sides)
        last = vocabulary.pop("<pad>")
        folder = marian_folder(tmp_path / "model", *sides)
        (folder / "vocab.json").write_text(json.dumps(vocabulary | {"<pad>": last, ">>deu<<": last + 1}))
        edit_config(folder, vocab_size=last + 2, decoder_vocab_size=last + 2)

        def grow(tensors):
            words = tensors["model.shared.weight"]
            tensors["model.shared.weight"] = np.concatenate([words, words[:1]])
            tensors["final_logits_bias"] = np.zeros((1, last + 2), np.float32)

        edit_tensors(folder, grow)
        stored = downloaded(api, accepted(api, folder), tmp_path / "stored")
        tokenizer = Tokenizer.from_file(str(stored / "tokenizer.json"))
        assert tokenizer.encode(">>deu<< the dog").ids == [last + 1, *tokenizer.encode("the dog").ids]


class TestConfig:
    @pytest.mark.parametrize(
        ("changes", "word"),
        [
            ({"decoder_vocab_size": 7}, "decoder_vocab_size"),
            ({"share_encoder_decoder_embeddings": False}, "share_encoder_decoder_embeddings"),
            ({"decoder_hidden": 8}, "share_encoder_decoder_embeddings"),
            ({"tie_word_embeddings": False}, "tie_word_embeddings"),
            ({"static_position_embeddings": False}, "static_position_embeddings"),
            ({"normalize_before": True}, "normalize_before"),
            ({"eos_token_id": 10_000}, "eos_token_id"),
            ({"decoder_start_token_id": -1}, "decoder_start_token_id"),
            ({"pad_token_id": None}, "pad_token_id"),
            ({"encoder_attention_heads": 3}, "multiple"),
            ({"decoder_attention_heads": 3}, "multiple"),
            ({"activation_function": "exec"}, "activation_function"),
            ({"num_beams": 10**6}, "num_beams"),
            ({"max_position_embeddings": 10**9}, "max_position_embeddings"),
            ({"encoder_layers": 10**5}, "layers"),
        ],
        ids=str,
    )
    def test_values_out_of_bounds(self, api, folder, changes, word):
        edit_config(folder, **changes)
        assert word in refused(api, zipped(folder), "invalid_config")

    def test_code_in_the_generation_config(self, api, folder):
        (folder / "generation_config.json").write_text('{"trust_remote_code": true}')
        refused(api, zipped(folder), "remote_code")


class TestWeights:
    def test_config_of_another_depth(self, api, folder):
        edit_config(folder, decoder_layers=2)
        assert "decoder.layers.1" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_config_of_a_shallower_encoder(self, api, folder):
        edit_config(folder, encoder_layers=1)
        assert "encoder.layers.1" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_a_norm_that_the_family_has_not(self, api, folder):
        edit_tensors(folder, lambda t: t.update({"model.encoder.layer_norm.weight": np.ones(16, np.float32)}))
        assert "layer_norm" in refused(api, zipped(folder), "weights_config_mismatch")

    @pytest.mark.parametrize("name", ["lm_head", "model.decoder.embed_tokens"])
    def test_words_of_its_own(self, api, folder, name):
        edit_tensors(
            folder, lambda t: t.update({f"{name}.weight": t["model.shared.weight"] + np.float32(0.1)})
        )
        assert "tied" in refused(api, zipped(folder), "untied_weights")

    def test_positions_that_were_learnt(self, api, folder):
        learnt = np.zeros((64, 16), np.float32)
        edit_tensors(folder, lambda t: t.update({"model.encoder.embed_positions.weight": learnt}))
        assert "sinusoidal positions" in refused(api, zipped(folder), "weights_config_mismatch")

    def test_config_of_a_narrow_decoder(self, api, narrow):
        edit_config(narrow, decoder_hidden=12)
        refused(api, zipped(narrow), "weights_config_mismatch")


class TestTokenizer:
    @pytest.mark.parametrize("name", ["source.spm", "target.spm", "vocab.json"])
    def test_missing(self, api, folder, name):
        (folder / name).unlink()
        assert "source.spm" in refused(api, zipped(folder), "missing_tokenizer")

    @pytest.mark.parametrize("content", [b"", b"hello, I am a model", b"\n\xff"])
    def test_damaged(self, api, folder, content):
        (folder / "target.spm").write_bytes(content)
        assert "target.spm" in refused(api, zipped(folder), "invalid_tokenizer")

    def test_of_another_kind(self, api, folder):
        (folder / "source.spm").write_bytes(train_sentencepiece(ENGLISH, model_type="bpe"))
        assert "tokenizer.json" in refused(api, zipped(folder), "invalid_tokenizer")

    def test_of_another_model(self, api, folder):
        words = ["κύων", "οἶκος", "ποταμός", "παλαιός", "χλωρός", "βαίνει", "ὁράω"]
        (folder / "source.spm").write_bytes(train_sentencepiece(words, size=30))
        assert "the same model" in refused(api, zipped(folder), "tokenizer_config_mismatch")

    @pytest.mark.parametrize(
        "change",
        [
            lambda vocabulary: vocabulary.pop("<unk>"),
            lambda vocabulary: vocabulary.update({"<unk>": 10_000}),
            lambda vocabulary: vocabulary.update({"<unk>": 0}),
            lambda vocabulary: vocabulary.update({"<unk>": True}),
            lambda vocabulary: vocabulary.update({"<unk>": "1"}),
        ],
        ids=["gap", "far", "twice", "bool", "text"],
    )
    def test_ids(self, api, folder, change):
        path = folder / "vocab.json"
        vocabulary = json.loads(path.read_text())
        change(vocabulary)
        path.write_text(json.dumps(vocabulary))
        assert "vocab.json" in refused(api, zipped(folder), "invalid_tokenizer")

    @pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000])
    def test_not_json(self, api, folder, text):
        (folder / "vocab.json").write_text(text)
        refused(api, zipped(folder), "invalid_tokenizer")

    def test_more_pieces_than_embeddings(self, api, folder):
        path = folder / "vocab.json"
        vocabulary = json.loads(path.read_text())
        path.write_text(json.dumps(vocabulary | {"another": len(vocabulary)}))
        assert "trained with" in refused(api, zipped(folder), "tokenizer_config_mismatch")

    @pytest.mark.parametrize("key", ["eos_token_id", "pad_token_id"])
    def test_other_ids_than_the_config(self, api, folder, key):
        edit_config(folder, **{key: 5})
        assert key in refused(api, zipped(folder), "tokenizer_config_mismatch")

    def test_a_charsmap_that_is_damaged(self, api, folder, tmp_path):
        """Its table leads out of itself."""
        content = (folder / "source.spm").read_bytes()
        at = content.index(b"nmt_nfkc") + 40
        (folder / "source.spm").write_bytes(content[:at] + b"\xff" * 4000 + content[at + 4000 :])
        refused(api, zipped(folder), "invalid_tokenizer")

    @pytest.mark.parametrize(
        "decoder",
        [
            {"type": "Replace", "pattern": {"Regex": "(a*)*$"}, "content": ""},
            {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 1000},
        ],
        ids=["expression", "growth"],
    )
    def test_a_decoder_that_runs_away(self, api, folder, tmp_path, decoder):
        """What a translation is made into text by."""
        stored = downloaded(api, accepted(api, folder), tmp_path / "stored")
        api.http.delete("/v1/models/" + api.http.get("/v1/models").json()["data"][0]["id"])
        path = stored / "target_tokenizer.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | {"decoder": decoder}))
        refused(api, zipped(stored), "invalid_tokenizer")


def test_a_second_tokenizer_of_an_encoder_is_left_behind(api, tmp_path):
    from tests.tiny import LABELS, tiny_model_folder

    folder = tiny_model_folder(tmp_path / "model", labels=LABELS)
    (folder / "target_tokenizer.json").write_text("[")
    assert "target_tokenizer.json" not in accepted(api, folder)["manifest"]["files"]["entries"]
