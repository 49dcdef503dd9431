import warnings
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

from app.domain.documents.manifest import OnnxExport
from app.domain.errors import JobError
from tests.worker.compression import TEACHER_SHAPE, make_data, make_teacher
from tests.worker.tiny_networks import classifier, dev_data, dev_split, shift_bias
from worker.contracts import TokenizedSplit
from worker.data.batches import collate, subset
from worker.evaluation.evaluate import predict_logits
from worker.evaluation.exported import ExportedEncoder
from worker.export.exports import check_exports, compare_exports, make_exports
from worker.export.onnx_export import export_onnx, input_names
from worker.export.parity import Parity, check_fp32, check_int8, compare_logits, probe
from worker.networks.loading import build_network
from worker.tasks.agreement import same_choice, same_choice_or_tied, same_side_of_median

ARCHITECTURES = ["bert", "roberta", "xlm-roberta", "distilbert"]
CPU = torch.device("cpu")


def choices(reference: np.ndarray, exported: np.ndarray) -> float:
    return same_choice(reference, exported, ())


class TestExportOnnx:
    @pytest.mark.parametrize("family", ARCHITECTURES)
    def test_says_what_torch_says_at_every_batch_and_length(self, family: str, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model", family)
        export_onnx(network, tmp_path / "model.onnx")
        session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
        draw = torch.Generator().manual_seed(0)
        for batch, length in [(1, 1), (1, 7), (2, 8), (3, 33), (5, 60)]:
            inputs = {
                "input_ids": torch.randint(5, 60, (batch, length), generator=draw),
                "attention_mask": torch.ones((batch, length), dtype=torch.int64),
                "token_type_ids": torch.randint(0, 2, (batch, length), generator=draw),
            }
            inputs["attention_mask"][-1, (length + 1) // 2 :] = 0  # one row is padded
            inputs = {name: inputs[name] for name in input_names(network)}
            with torch.no_grad():
                expected = network(**inputs).logits.numpy()
            found = session.run(["logits"], {name: tensor.numpy() for name, tensor in inputs.items()})[0]
            np.testing.assert_allclose(found, expected, atol=1e-5, err_msg=f"{batch} x {length}")

    @pytest.mark.parametrize("family", ARCHITECTURES)
    def test_holds_the_words_of_reading_and_answering_once(self, family: str, tmp_path: Path) -> None:
        network = make_teacher(family, task="masked_language_modeling").network.eval()
        words, width = network.get_input_embeddings().weight.shape
        inputs = {"input_ids": torch.randint(5, words, (3, 7)), "attention_mask": torch.ones(3, 7).long()}
        types = {name: torch.zeros(3, 7).long() for name in input_names(network) if name not in inputs}
        with torch.no_grad():
            expected = network(**inputs).logits.numpy()
        for precision, path in make_exports(network, ["fp32", "int8"], tmp_path).items():
            tables = [
                tensor.name
                for tensor in onnx.load(path).graph.initializer
                if sorted(tensor.dims) == sorted((words, width))
            ]
            assert len(tables) == 1
            session = onnxruntime.InferenceSession(path)
            given = {name: value.numpy() for name, value in (inputs | types).items()}
            [found] = session.run(["logits"], given)
            tolerance = 1e-5 if precision == "fp32" else 0.05 * expected.std()
            assert np.abs(found - expected).mean() < tolerance

    @pytest.mark.parametrize(
        ("family", "takes_types"),
        [("bert", True), ("roberta", False), ("xlm-roberta", False), ("distilbert", False)],
    )
    def test_takes_token_types_only_where_the_network_has_several(
        self, family: str, takes_types: bool, tmp_path: Path
    ) -> None:
        network = classifier(tmp_path / "model", family)
        if family in ("roberta", "xlm-roberta"):
            network.config.type_vocab_size = 1
        export_onnx(network, tmp_path / "model.onnx")
        inputs = onnx.load(tmp_path / "model.onnx").graph.input
        assert ("token_type_ids" in [argument.name for argument in inputs]) is takes_types
        assert {argument.type.tensor_type.elem_type for argument in inputs} == {onnx.TensorProto.INT64}

    def test_gives_the_network_back_as_it_was(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        attention = network.config._attn_implementation
        assert attention != "eager"
        for is_training in (False, True):
            network.train(is_training)
            export_onnx(network, tmp_path / "model.onnx")
            assert {module.training for module in network.modules()} == {is_training}
            assert network.config._attn_implementation == attention

    def test_leaves_other_warnings_alone(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            export_onnx(network, tmp_path / "model.onnx")
            warnings.warn("something else", DeprecationWarning, stacklevel=1)
        assert [str(warning.message) for warning in seen] == ["something else"]

    def test_refuses_weights_beyond_one_file(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        with torch.device("meta"):
            network.to("meta").resize_token_embeddings(20_000_000, mean_resizing=False)
        with pytest.raises(JobError, match=r"2\.\d+ GB of fp32 weights") as caught:
            export_onnx(network, tmp_path / "model.onnx")
        assert caught.value.code == "onnx_too_large"


class TestInt8:
    def test_is_smaller_embeddings_included_and_mostly_agrees(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model", layers=2, hidden=64, ffn=256)
        paths = make_exports(network, ["fp32", "int8"], tmp_path)
        exports = compare_exports(network, paths, dev_data())
        tables = {
            tensor.name: tensor.data_type
            for tensor in onnx.load(paths["int8"]).graph.initializer
            if "word_embeddings" in tensor.name and len(tensor.dims) == 2
        }
        assert set(tables.values()) <= {onnx.TensorProto.INT8, onnx.TensorProto.UINT8}
        assert tables
        assert exports["int8"].size_bytes < 0.6 * exports["fp32"].size_bytes
        assert exports["fp32"].max_logit_difference < 1e-4 < exports["int8"].max_logit_difference
        assert exports["fp32"].label_agreement == 1
        assert exports["int8"].label_agreement >= 0.9
        check_exports(exports, onnx_tolerance=1e-4, int8_min_agreement=0.9)

    def test_holds_no_fp32_matrix_where_layers_share_one(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model", layers=2)
        network.bert.encoder.layer[1] = network.bert.encoder.layer[0]
        paths = make_exports(network, ["fp32", "int8"], tmp_path)
        floats = {
            tensor.name: list(tensor.dims)
            for tensor in onnx.load(paths["int8"]).graph.initializer
            if tensor.data_type == onnx.TensorProto.FLOAT and len(tensor.dims) == 2
        }
        assert not floats
        exports = compare_exports(network, paths, dev_data())
        assert exports["int8"].label_agreement >= 0.9

    @pytest.mark.parametrize("family", ["bert", "roberta", "distilbert"])
    def test_a_factorised_word_table_answers_in_words(self, family: str, tmp_path: Path) -> None:
        task = "masked_language_modeling"
        teacher, data = make_teacher(family, task=task), make_data(task, dev=32)
        architecture = teacher.architecture.at(TEACHER_SHAPE.model_copy(update={"embedding": 8}))
        torch.manual_seed(0)
        network = build_network(teacher.network.config, architecture, data.head)
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.add_(0.1 * torch.randn_like(parameter))
        exports = compare_exports(network, make_exports(network, ["fp32", "int8"], tmp_path), data)
        assert exports["fp32"].max_logit_difference < 1e-4
        assert exports["int8"].label_agreement >= 0.9

    def test_alone_leaves_no_fp32_file(self, tmp_path: Path) -> None:
        paths = make_exports(classifier(tmp_path / "model"), ["int8"], tmp_path / "exports")
        assert list((tmp_path / "exports").iterdir()) == [paths["int8"]]


class TestParity:
    def test_one_changed_weight_fails(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        paths = make_exports(network, ["fp32"], tmp_path)
        split = dev_split()
        sound = compare_exports(network, paths, dev_data(split))
        check_exports(sound, onnx_tolerance=1e-4, int8_min_agreement=0.9)

        shift_bias(paths["fp32"], 0.01)
        broken = compare_exports(network, paths, dev_data(split))
        with pytest.raises(JobError, match=r"1\.00e-02; the tolerance is 1\.00e-04") as caught:
            check_exports(broken, onnx_tolerance=1e-4, int8_min_agreement=0.9)
        assert caught.value.code == "onnx_parity_failed"

    def test_a_graph_without_a_mask_fails_in_mixed_batches(self, tmp_path: Path) -> None:
        """Every text is as long as its neighbours in a pass by length; only the probe's own batches pad."""
        network = classifier(tmp_path / "model")
        export_onnx(network, tmp_path / "model.onnx")
        graph = ExportedEncoder(tmp_path / "model.onnx")
        split = dev_split(16)
        by_length = [np.flatnonzero(split.lengths == length) for length in np.unique(split.lengths)]

        def maskless(part: TokenizedSplit) -> np.ndarray:
            feed = graph.feed(part, np.arange(len(part)), pad_id=0)
            feed["attention_mask"] = np.ones_like(feed["attention_mask"])
            return graph.run(feed)

        for rows in by_length:
            same_length = subset(split, rows)
            reference = predict_logits(network, same_length, pad_id=0, device=CPU)
            assert (
                compare_logits(reference, maskless(same_length), agreement=choices).max_logit_difference
                < 1e-5
            )
        reference = probe(partial(predict_logits, network, pad_id=0, device=CPU), split)
        assert (
            compare_logits(reference, probe(maskless, split), agreement=choices).max_logit_difference > 1e-3
        )

    def test_probe_goes_through_the_split_first(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        split = dev_split(24)
        predict = partial(predict_logits, network, pad_id=0, device=CPU)
        with torch.no_grad():
            one_by_one = [
                network(**collate(split, np.array([row]), pad_id=0, device=CPU).inputs) for row in range(24)
            ]
        expected = np.concatenate([output.logits.numpy() for output in one_by_one])
        found = probe(predict, split)
        assert len(found) > len(split)
        np.testing.assert_allclose(found[: len(split)], expected, atol=1e-5)

    def test_compares_as_a_loop_would(self) -> None:
        reference = np.array([[1.0, 2.0], [3.0, 1.0], [0.0, 0.5]], dtype=np.float32)
        exported = np.array([[1.5, 2.0], [0.0, 1.0], [0.0, 0.25]], dtype=np.float32)
        assert compare_logits(reference, exported, agreement=choices) == Parity(
            max_logit_difference=3.0, label_agreement=2 / 3
        )

    def test_words_that_are_next_to_equal_are_the_same(self) -> None:
        reference = np.array([[1.0, 1.05], [1.0, 1.2], [3.0, 1.0]], dtype=np.float32)
        exported = reference[:, ::-1]
        assert same_choice(reference, exported, ()) == 0
        assert same_choice_or_tied(reference, exported, ()) == pytest.approx(1 / 3)

    def test_numbers_agree_when_they_order_the_texts_alike(self) -> None:
        scores = np.array([[1.0], [2.0]], dtype=np.float32)
        assert same_side_of_median(scores, 3 * scores + 1, ()) == 1
        assert same_side_of_median(scores, -scores, ()) == 0

    def test_nan_is_no_parity(self) -> None:
        logits = np.array([[1.0, np.nan]], dtype=np.float32)
        with pytest.raises(JobError):
            check_fp32(compare_logits(logits, logits, agreement=choices), tolerance=1e-4)

    def test_low_agreement_names_both_numbers(self) -> None:
        with pytest.raises(JobError, match=r"85\.0%.* at least 90\.0%") as caught:
            check_int8(Parity(max_logit_difference=0.5, label_agreement=0.85), min_agreement=0.9)
        assert caught.value.code == "int8_agreement_too_low"
        check_int8(Parity(max_logit_difference=0.5, label_agreement=0.9), min_agreement=0.9)

    def test_a_file_that_knows_only_the_commonest_answer_is_no_good(self, tmp_path: Path) -> None:
        """Of tags nearly all are O: a file that gives no other agrees."""

        def export(metric: float, of_network: float | None) -> OnnxExport:
            return OnnxExport(
                file="",
                size_bytes=0,
                max_logit_difference=1.0,
                label_agreement=0.95,
                metric=metric,
                network_metric=of_network,
            )

        with pytest.raises(JobError, match=r"0\.400.* 0\.500.*90\.0%") as caught:
            check_exports({"int8": export(0.4, 0.5)}, onnx_tolerance=1e-4, int8_min_agreement=0.9)
        assert caught.value.code == "int8_quality_too_low"
        for metric, of_network in [(0.45, 0.5), (-0.1, -0.1), (0.0, 0.0), (20.0, None)]:
            found = export(metric, of_network)
            check_exports({"int8": found}, onnx_tolerance=1e-4, int8_min_agreement=0.9)

    def test_the_networks_metric_is_of_the_same_texts(self, tmp_path: Path) -> None:
        network = classifier(tmp_path)
        paths = make_exports(network, ["fp32"], tmp_path / "exports")
        export = compare_exports(network, paths, dev_data())["fp32"]
        assert export.network_metric == pytest.approx(export.metric)

    def test_pairs_bring_their_token_types(self, tmp_path: Path) -> None:
        network = classifier(tmp_path / "model")
        paths = make_exports(network, ["fp32"], tmp_path)
        split = dev_split(32, pairs=True)
        assert split.type_ids is not None
        assert split.type_ids.any()
        exports = compare_exports(network, paths, dev_data(split))
        assert exports["fp32"].max_logit_difference < 1e-5
