"""Translation through every layer of the worker, on tiny Marian networks."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sacrebleu.metrics import BLEU, CHRF
from transformers import MarianMTModel

from app.domain.architectures import EncoderDecoderShape
from app.domain.documents.manifest import Files, ModelManifest
from app.domain.errors import JobError
from app.domain.methods import DistillationTerms
from app.engine.generation import Decoding
from tests.worker.compression import MemoryContext, same_weights
from tests.worker.translations import (
    NARROW,
    POSITIONS,
    SMALL,
    TEACHER,
    make_translator,
    tokenizer,
    translation_card,
    translation_data,
)
from worker.contracts import TaskData
from worker.data.batches import collate, subset
from worker.data.tokenization import tokenize_translations
from worker.distillation.teacher_translations import DECODING, bitext_and_translations, translated
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.latency import measure_latency
from worker.evaluation.quality import dev_score, measure
from worker.evaluation.translation import TorchTranslator, translate, translation_metrics
from worker.export import onnx_export
from worker.export.exports import (
    check_exports,
    compare_exports,
    decoder_beside,
    make_exports,
    open_export,
)
from worker.networks.forward import forward
from worker.networks.loading import load_network, save_network
from worker.networks.new_tokenizer import train_tokenizer
from worker.transfer.initialisation import calibration_batches, subcloned_network

CPU = torch.device("cpu")
SHAPES = [TEACHER, NARROW, SMALL]


@pytest.fixture(scope="module")
def data() -> TaskData:
    return translation_data()


class TestNetworks:
    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_planner_counts_what_is_trained(self, shape: EncoderDecoderShape, data: TaskData) -> None:
        network = make_translator(shape).network
        assert (
            network.num_parameters(only_trainable=True) == translation_card(shape).count(head=data.head).total
        )

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_survives_saving_and_loading(
        self, shape: EncoderDecoderShape, data: TaskData, tmp_path: Path
    ) -> None:
        network = make_translator(shape).network
        save_network(network, tmp_path)
        manifest = ModelManifest(
            files=Files(prefix="", entries={}),
            architecture=translation_card(shape),
            task="translation",
            labels=None,
            parameters=1,
            max_length=32,
        )
        loaded = load_network(tmp_path, manifest, task="translation", labels=[])
        assert same_weights(network, loaded)
        assert loaded.num_parameters(only_trainable=True) == network.num_parameters(only_trainable=True)
        assert loaded.lm_head.weight is loaded.model.decoder.embed_tokens.weight
        batch = collate(data.dev, np.arange(8), pad_id=data.pad_id, device=CPU)
        assert torch.equal(forward(network, batch).logits, forward(loaded, batch).logits)

    def test_transformers_loads_what_is_not_narrow(self, tmp_path: Path) -> None:
        network = make_translator(SMALL).network
        save_network(network, tmp_path)
        assert same_weights(network, MarianMTModel.from_pretrained(tmp_path))

    def test_head_at_positions_is_the_whole_heads(self, data: TaskData) -> None:
        network = make_translator().network
        batch = collate(data.dev, np.arange(8), pad_id=data.pad_id, device=CPU)
        whole = network(**batch.inputs).logits[batch.positions]
        assert torch.allclose(forward(network, batch).logits, whole, atol=1e-5)


class TestSubcloning:
    def test_at_the_teachers_own_shape_is_the_teacher(self, data: TaskData, tmp_path: Path) -> None:
        teacher = make_translator()
        context = MemoryContext(tmp_path, architecture=teacher.architecture)
        network = subcloned_network(teacher, data, context, layer_map="uniform").network
        theirs = teacher.network.state_dict()
        for name, value in network.state_dict().items():
            assert torch.allclose(value, theirs[name], atol=1e-6), name

    def test_a_narrow_decoder_keeps_the_encoder_and_takes_part_of_the_rest(
        self, data: TaskData, tmp_path: Path
    ) -> None:
        teacher = make_translator()
        context = MemoryContext(tmp_path, architecture=translation_card(NARROW))
        network = subcloned_network(teacher, data, context, layer_map="uniform", rescale=False).network
        ours, theirs = network.state_dict(), teacher.network.state_dict()
        assert torch.equal(ours["model.encoder.embed_tokens.weight"], theirs["model.shared.weight"])
        key = "model.encoder.layers.1.fc1.weight"
        assert torch.equal(ours[key], theirs[key])
        keep = [*range(0, 16, 2), *range(16, 32, 2)]  # every other sine, every other cosine
        assert torch.equal(ours["lm_head.weight"], theirs["model.shared.weight"][:, keep])
        sines = "model.decoder.embed_positions.weight"
        assert torch.allclose(ours[sines], theirs[sines][:, keep], atol=1e-6)
        cross = "model.decoder.layers.{}.encoder_attn.k_proj.weight"
        rows = {tuple(row) for row in theirs[cross.format(1)].tolist()}
        assert all(tuple(row) in rows for row in ours[cross.format(0)].tolist())

    def test_an_encoder_that_keeps_its_width_keeps_its_words(self, data: TaskData, tmp_path: Path) -> None:
        """A narrow decoder's are larger: what it looks up is multiplied by the root of a smaller width."""
        teacher = make_translator()
        context = MemoryContext(tmp_path, architecture=translation_card(NARROW))
        network = subcloned_network(teacher, data, context, layer_map="uniform").network
        batch = calibration_batches(data, device=CPU)[0]
        inputs = {name: batch[name] for name in ("input_ids", "attention_mask")}
        with torch.no_grad():
            ours, theirs = (n.model.encoder(**inputs).last_hidden_state for n in (network, teacher.network))
        there = inputs["attention_mask"].bool()
        assert torch.allclose(ours[there], theirs[there], atol=1e-5)
        keep = [*range(0, 16, 2), *range(16, 32, 2)]
        larger = 2**0.5 * teacher.network.model.shared.weight[:, keep]
        assert torch.allclose(network.lm_head.weight, larger)

    def test_padding_has_no_say_in_what_is_loud(self, data: TaskData) -> None:
        for batch in calibration_batches(data, device=CPU):
            assert batch["decoder_attention_mask"].shape == batch["decoder_input_ids"].shape


class TestWriting:
    @pytest.mark.parametrize("shape", [TEACHER, NARROW], ids=str)
    @pytest.mark.parametrize("beams", [1, 3])
    def test_equals_generate_of_transformers(
        self, shape: EncoderDecoderShape, beams: int, data: TaskData
    ) -> None:
        network = make_translator(shape).network
        some = subset(data.dev, np.arange(12))
        found = translate(TorchTranslator(network), some, pad_id=data.pad_id, decoding=Decoding(beams))
        for row, ours in enumerate(found):
            inputs = collate(some, np.array([row]), pad_id=data.pad_id, device=CPU).inputs
            limit = 3 * int(some.lengths[row]) + 10
            written = network.generate(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                num_beams=beams,
                do_sample=False,
                max_new_tokens=limit,
                suppress_tokens=[data.pad_id],
                forced_eos_token_id=None,
                length_penalty=1.0,
            )
            theirs = [id_ for id_ in written[0, 1:].tolist() if id_ != data.pad_id]
            end = network.config.eos_token_id
            assert ours == (theirs[: theirs.index(end)] if end in theirs else theirs)

    def test_scores_are_sacrebleus(self) -> None:
        hypotheses, references = (
            ["zwei eins.", "drei sechs vier fünf."],
            ["zwei eins.", "drei vier sechs fünf."],
        )
        found = translation_metrics(hypotheses, references)
        assert found["bleu"] == BLEU().corpus_score(hypotheses, [references]).score
        assert found["chrf"] == CHRF().corpus_score(hypotheses, [references]).score
        assert translation_metrics(references, references)["bleu"] == pytest.approx(100)

    def test_short_sentences_have_a_bleu(self) -> None:
        """By sacreBLEU's defaults it is 0 where none has four words."""
        assert translation_metrics(["Hund", "die Katze"], ["Hund", "die Katze"])["bleu"] == pytest.approx(100)
        assert translation_metrics(["Maus", "ein Tier"], ["Hund", "die Katze"])["bleu"] == 0

    @pytest.mark.parametrize(
        ("hypothesis", "reference"),
        [
            ("他今天去学校上课。", "他今天去学校学习。"),
            ("แมวนั่งบนโต๊ะ", "แมวนอนบนโต๊ะ"),
            ("猫は机の上にいる。", "猫が机の上にいる。"),
        ],
    )
    def test_scripts_without_spaces_are_compared_by_letters(self, hypothesis: str, reference: str) -> None:
        expected = BLEU(tokenize="char").corpus_score([hypothesis], [[reference]]).score
        assert translation_metrics([hypothesis], [reference])["bleu"] == expected > 20

    def test_selection_looks_at_words_and_the_report_at_texts(self, data: TaskData) -> None:
        network = make_translator().network
        found = measure(network, data.dev, data, device=CPU)
        assert set(found) == {"bleu", "chrf", "loss", "accuracy"}
        assert dev_score(network, data, device=CPU) == -found["loss"]
        logits = predict_logits(network, data.dev, pad_id=data.pad_id, device=CPU)
        labels = torch.from_numpy(data.dev.targets.ids).long()
        expected = torch.nn.functional.cross_entropy(torch.from_numpy(logits), labels)
        assert found["loss"] == pytest.approx(float(expected), rel=1e-4)


class TestVocabulary:
    @pytest.mark.parametrize(
        "text", ["zwei eins.", "  two  spaces ", " a", "漢字 😀 ü\n\ttab", "eins,zwei!drei", "don't", ""]
    )
    def test_gives_every_text_back(self, text: str) -> None:
        encoded = tokenizer().encode(text)
        assert encoded.tokens[-1] == "</s>"
        assert "<unk>" not in encoded.tokens
        assert tokenizer().decode(encoded.ids) == text

    def test_has_as_many_pieces_as_there_are(self) -> None:
        assert train_tokenizer(["ab ab ab"], vocabulary=10_000).get_vocab_size() < 300


class TestExports:
    @pytest.mark.parametrize("shape", [TEACHER, NARROW], ids=str)
    def test_says_and_writes_what_torch_does(
        self, shape: EncoderDecoderShape, data: TaskData, tmp_path: Path
    ) -> None:
        network = make_translator(shape).network
        paths = make_exports(network, ["fp32", "int8"], tmp_path)
        assert {path.name for path in tmp_path.iterdir()} == {
            f"{part}.{precision}.onnx" for part in ("encoder", "decoder") for precision in ("fp32", "int8")
        }
        exports = compare_exports(network, paths, data)
        assert exports["fp32"].max_logit_difference < 1e-4
        assert exports["fp32"].label_agreement == 1
        assert exports["fp32"].decoder_file == "decoder.fp32.onnx"
        assert exports["fp32"].size_bytes > exports["int8"].size_bytes
        assert exports["int8"].label_agreement > 0.8
        assert exports["int8"].activation_scales == "per_token"
        for path in paths.values():
            logits = partial(open_export(path, network).logits, data.dev, pad_id=data.pad_id)
            difference = np.abs(logits(batch_size=1) - logits(batch_size=len(data.dev))).max()
            assert difference < 1e-5  # sums of one word's attention are rounded in the order of their length
        opened = open_export(paths["fp32"], network)
        for decoding in (Decoding(), Decoding(beams=3)):
            write = partial(translate, split=data.dev, pad_id=data.pad_id, decoding=decoding)
            assert write(opened.network) == write(TorchTranslator(network))

    @pytest.mark.parametrize("shape", SHAPES, ids=str)
    def test_planner_counts_what_the_files_hold(
        self, shape: EncoderDecoderShape, data: TaskData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One word table for four uses counts once."""
        network, architecture = make_translator(shape).network, translation_card(shape)
        weight_bytes = 4 * (architecture.count(head=data.head).total + architecture.sines)
        monkeypatch.setattr(onnx_export, "MAX_ONNX_BYTES", weight_bytes)
        make_exports(network, ["fp32"], tmp_path)
        monkeypatch.setattr(onnx_export, "MAX_ONNX_BYTES", weight_bytes - 1)
        with pytest.raises(JobError, match="Use a smaller target"):
            make_exports(network, ["fp32"], tmp_path)

    def test_a_wrong_decoder_fails(self, data: TaskData, tmp_path: Path) -> None:
        network = make_translator().network
        paths = make_exports(network, ["fp32"], tmp_path / "a")
        other = make_exports(make_translator(spread=0.2).network, ["fp32"], tmp_path / "b")
        decoder_beside(other["fp32"]).replace(decoder_beside(paths["fp32"]))
        exports = compare_exports(network, paths, data)
        with pytest.raises(Exception, match="differ by up to"):
            check_exports(exports, onnx_tolerance=1e-3, int8_min_agreement=0.9)

    def test_latency_is_that_of_writing_as_much_as_the_references(
        self, data: TaskData, tmp_path: Path
    ) -> None:
        network = make_translator().network
        opened = open_export(make_exports(network, ["fp32"], tmp_path)["fp32"], network)
        feed = opened.feed(data.dev, np.arange(4), pad_id=data.pad_id)
        assert feed["limits"] == data.dev.targets.lengths[:4].tolist()
        found = measure_latency(opened, data.dev, pad_id=data.pad_id, seconds=0.2)
        assert 0 < found["1"] < found["32"]


class TestTeacherTranslations:
    def test_are_computed_once_and_are_the_teachers(self, tmp_path: Path) -> None:
        data, teacher = translation_data(train=40, unlabeled=10), make_translator()
        context = MemoryContext(tmp_path, architecture=teacher.architecture)
        first = translated(teacher, data.train, pad_id=data.pad_id, context=context)
        assert [report for report in context.reports if report[0] == "teacher_outputs"]
        written = translate(
            TorchTranslator(teacher.network), data.train, pad_id=data.pad_id, decoding=DECODING
        )
        end = teacher.network.config.eos_token_id
        targets = first.targets
        for row, text in enumerate(written):
            kept = targets.ids[targets.offsets[row] : targets.offsets[row + 1]]
            assert kept.tolist() == [*text, end]
        again = MemoryContext(tmp_path, architecture=teacher.architecture)
        second = translated(teacher, data.train, pad_id=data.pad_id, context=again)
        assert not again.reports
        assert np.array_equal(first.targets.ids, second.targets.ids)
        assert first.digest == second.digest != data.train.digest

    def test_have_room_for_their_end(self, tmp_path: Path) -> None:
        """A teacher that repeats itself writes until its positions end."""
        data, teacher = translation_data(train=4), make_translator()
        context = MemoryContext(tmp_path, architecture=teacher.architecture)
        longest = "one two three four five six " * 4
        endless = tokenize_translations(
            [longest],
            [longest],
            source_tokenizer=tokenizer(),
            target_tokenizer=tokenizer(),
            max_length=POSITIONS,
        )
        lines = translated(teacher, endless, pad_id=data.pad_id, context=context)
        assert lines.targets.lengths.tolist() == [POSITIONS]
        assert lines.targets.ids[-1] == teacher.network.config.eos_token_id
        forward(teacher.network, collate(lines, np.arange(1), pad_id=data.pad_id, device=CPU))

    @pytest.mark.parametrize(("weight", "rows"), [(0.0, 40), (0.9, 90), (1.0, 50)])
    def test_weight_says_which_texts_are_learnt(self, weight: float, rows: int, tmp_path: Path) -> None:
        data, teacher = translation_data(train=40, unlabeled=10), make_translator()
        context = MemoryContext(tmp_path, architecture=teacher.architecture)
        terms = DistillationTerms(logits_weight=weight)
        lines = bitext_and_translations(terms, teacher, data, context)
        assert len(lines) == len(lines.targets) == rows
        if weight < 1:
            assert np.array_equal(lines.targets.ids[: len(data.train.targets.ids)], data.train.targets.ids)
