"""A client's whole way with every task: register, teach, compress, read the report, ask, go on from there."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.app.registry.translation import marian_folder, train_sentencepiece
from tests.e2e.conftest import SHAPE, Json, Stack
from tests.tiny import (
    GERMAN,
    PLEASANT,
    UNPLEASANT,
    tiny_bert_folder,
    tiny_examples,
    tiny_questions,
    tiny_scored_examples,
    tiny_tagged_examples,
    tiny_translations,
)

pytestmark = [pytest.mark.e2e, pytest.mark.parametrize("service", ["production"], indirect=True)]

TEACHER = {"layers": 2, "hidden": 32, "heads": 2, "ffn": 64}
TRANSLATOR = {"encoder_layers": 2, "decoder_layers": 2, "hidden": 32, "heads": 2, "ffn": 64}
PAIR = {"text": "this film wonderful superb warm", "text_pair": "a story charming brilliant funny"}
POOR = {"text": "this film dreadful dull awful", "text_pair": "a story boring tedious clumsy"}
SENTENCE = "the film with superb apple, eht yrots fo a river"


@pytest.fixture(scope="module")
def stack(service: Stack) -> Iterator[Stack]:
    """With two workers, for the jobs that do not wait for one another."""
    service.have_workers(2)
    yield service
    service.forget_everything()


@pytest.fixture(scope="module")
def encoder(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Json:
    return stack.upload_model(tiny_bert_folder(tmp_path_factory.mktemp("encoder") / "encoder"))


def register(
    stack: Stack, task: str, make: Callable[..., list[Json]], *, hidden: Sequence[str] = (), **rows: int
) -> Json:
    """Register a data set; ``hidden`` are the columns that unlabelled rows lack."""
    splits = {}
    for seed, (split, count) in enumerate(({"train": 256, "dev": 64} | rows).items()):
        examples = make(count, seed=seed)
        if split == "unlabeled":
            examples = [{k: v for k, v in row.items() if k not in hidden} for row in examples]
        splits[split] = "".join(json.dumps(row) + "\n" for row in examples).encode()
    return stack.upload_dataset(task, splits)


def finish(stack: Stack, *jobs: Json) -> list[tuple[Json, Json]]:
    """Each job once it has succeeded, with the model that came of it."""
    ended = [stack.wait_for_end(job) for job in jobs]
    for job in ended:
        assert (job["status"], job["error"]) == ("succeeded", None), stack.logs()
    return [(job, stack.get(f"/v1/models/{job['student']}")) for job in ended]


def dev_quality(job: Json, whose: str = "student") -> dict[str, float]:
    quality: dict[str, float] = job["metrics"][whose]["quality"]["dev"]
    return quality


def answers(stack: Stack, model: Json, inputs: Any, **parameters: Any) -> Any:
    response = stack.predict(model, inputs, **parameters)
    assert response.is_success, response.text
    return response.json()


def taken_back(stack: Stack, model: Json, folder: Path) -> Json:
    """A model whose files were downloaded and uploaded again."""
    again = stack.upload_model(stack.download(model, folder))
    for name in ("architecture", "task", "labels", "parameters"):
        assert again["manifest"][name] == model["manifest"][name], name
    return again


def test_pairs_of_texts(stack: Stack, encoder: Json, tmp_path: Path) -> None:
    def labelled(rows: int, *, seed: int) -> list[Json]:
        examples = tiny_scored_examples(rows, seed=seed)
        return [row | {"score": None, "label": "good" if row["score"] > 2.5 else "poor"} for row in examples]

    dataset = register(stack, "text_classification", labelled, test=32)
    [(_, teacher)] = finish(stack, stack.start_job(encoder, dataset, exports=["fp32"]))
    assert (teacher["task"], teacher["labels"]) == ("text_classification", ["good", "poor"])

    once_again = {"name": "pea_kd", "distillation": {"temperature": 2, "patient_weight": 1}}
    (squeezing, squeezed), (_, shared) = finish(
        stack,
        stack.start_job(teacher, dataset, "weight_squeezing", target={"shape": SHAPE}),
        stack.start_job(
            teacher, dataset, once_again, target={"shape": TEACHER | {"layers": 1}}, exports=["fp32"]
        ),
    )
    for whose in ("teacher", "student"):
        report = squeezing["metrics"][whose]
        assert set(report["quality"]) == {"dev", "test"}
        assert set(report["quality"]["test"]) == {"accuracy", "macro_f1", "matthews", "f1"}
        assert set(report["exports"]) == {"fp32", "int8"}
        fp32, int8 = (report["exports"][precision]["test_metric"] for precision in ("fp32", "int8"))
        assert fp32 == pytest.approx(report["quality"]["test"]["accuracy"])
        assert int8 == pytest.approx(fp32, abs=0.1)
    assert dev_quality(squeezing)["accuracy"] > 0.8
    assert len(shared["manifest"]["architecture"]["schedule"]) == 2
    assert shared["parameters"] < teacher["parameters"]

    teacher = stack.get(f"/v1/models/{teacher['id']}")
    assert set(teacher["manifest"]["exports"]) == {"fp32", "int8"}, "as its student was asked for"
    for model in (teacher, squeezed, shared):
        for precision in model["manifest"]["exports"]:
            good, poor = answers(stack, model, [PAIR, POOR], precision=precision, top_k=1)
            assert [entry["label"] for entry in (*good, *poor)] == ["good", "poor"]

    again = taken_back(stack, shared, tmp_path / "shared")
    [(job, grandchild)] = finish(
        stack,
        stack.start_job(again, dataset, "distillation", target={"max_parameters": 12_000}, exports=["fp32"]),
    )
    assert grandchild["lineage"]["teacher"] == again["id"]
    assert grandchild["parameters"] <= 12_000
    assert dev_quality(job, "teacher")["accuracy"] > 0.8
    assert answers(stack, grandchild, PAIR)[0][0]["label"] in ("good", "poor")


def test_any_number_of_labels(stack: Stack, encoder: Json, tmp_path: Path) -> None:
    kinds = {"pleasant": {*PLEASANT}, "unpleasant": {*UNPLEASANT}}

    def labelled(rows: int, *, seed: int) -> list[Json]:
        texts = [example["text"] for example in tiny_examples(rows, seed=seed)]
        return [{"text": text, "labels": [k for k in kinds if kinds[k] & {*text.split()}]} for text in texts]

    dataset = register(stack, "multi_label_classification", labelled)
    training = {"epochs": 10}
    [(_, teacher)] = finish(stack, stack.start_job(encoder, dataset, training=training, exports=["fp32"]))
    assert (teacher["task"], teacher["labels"]) == ("multi_label_classification", list(kinds))

    squeezing = stack.start_job(
        teacher, dataset, "weight_squeezing", target={"shape": SHAPE}, training=training
    )
    [(job, squeezed)] = finish(stack, squeezing)
    assert set(dev_quality(job)) == {"micro_f1", "macro_f1", "label_ranking_average_precision"}
    assert dev_quality(job)["micro_f1"] > 0.8
    assert len(squeezed["manifest"]["thresholds"]) == 2, "chosen on dev"
    for precision in squeezed["manifest"]["exports"]:
        inputs = ["this superb warm film", "superb but dreadful"]
        one, both = answers(stack, squeezed, inputs, precision=precision)
        assert [entry["label"] for entry in one if entry["passes"]] == ["pleasant"]
        assert {entry["label"] for entry in both if entry["passes"]} == set(kinds)
    taken_back(stack, squeezed, tmp_path / "squeezed")


def test_a_teacher_that_is_known_by_its_scores(stack: Stack) -> None:
    """No model is uploaded, and no row has a label of its own."""

    def make(rows: int, seed: int) -> list[Json]:
        return [
            {"text": row["text"], "teacher_scores": {"llm": {"label": row["label"], "score": 0.9}}}
            for row in tiny_examples(rows, seed=seed)
        ]

    data = register(stack, "text_classification", make)
    assert data["labels"] == ["negative", "positive"]
    assert data["splits"]["dev"]["labelled_by_teacher"] is True
    shape = {"embedding": 16, "hidden": 16, "projection": 16}
    training = {"epochs": 10, "learning_rate": 1e-2}
    job = stack.start_job(None, data, "bilstm", target={"shape": shape}, training=training)
    [(job, student)] = finish(stack, job)
    metrics = job["metrics"]["student"]
    assert "dev" not in metrics["quality"]
    assert metrics["agreement"]["dev"]["accuracy"] > 0.9
    assert student["metrics"] == {"agreement_with_teacher": metrics["agreement"]}
    texts = ["a wonderful superb film", "the dull awful story"]
    found = answers(stack, student, texts, top_k=1)
    assert [answer[0]["label"] for answer in found] == ["positive", "negative"]


def test_scores_of_pairs(stack: Stack, encoder: Json) -> None:
    dataset = register(stack, "text_regression", tiny_scored_examples)
    longer = {"epochs": 12, "metric": "pearson"}
    [(_, teacher)] = finish(stack, stack.start_job(encoder, dataset, training=longer, exports=["fp32"]))
    assert (teacher["task"], teacher["labels"]) == ("text_regression", None)

    inside = {"logits_weight": 0.5, "patient_weight": 1, "relation_weight": 0.1, "relation_heads": 1}
    (distilling, _), (selecting, selected) = finish(
        stack,
        stack.start_job(
            teacher,
            dataset,
            {"name": "distillation", "initialisation": "weight_copy", "distillation": inside},
            target={"compression_ratio": 1.4},
            training=longer,
        ),
        stack.start_job(
            teacher,
            dataset,
            "weight_selection",
            target={"max_latency_ms": 1000},
            training=longer | {"epochs": 24},
        ),
    )
    for job in (distilling, selecting):
        assert set(dev_quality(job)) == {"spearman", "pearson", "mse"}
        assert dev_quality(job)["pearson"] > 0.8
        high, low = answers(stack, {"id": job["student"]}, [PAIR, POOR], precision="int8")
        assert [entry["label"] for entry in (*high, *low)] == ["score", "score"]
        assert high[0]["score"] > low[0]["score"] + 1
    assert selected["parameters"] < teacher["parameters"], "however much time there is"


def punctuated(rows: int, *, seed: int) -> list[Json]:
    """Tagged words, in half of the rows a comma behind each thing."""

    def with_commas(example: Json) -> Json:
        tokens, tags = [], []
        following = [*example["tags"][1:], "O"]
        for token, tag, after in zip(example["tokens"], example["tags"], following, strict=True):
            tokens.append(token)
            tags.append(tag)
            if tag != "O" and after != "I-thing":
                tokens.append(",")
                tags.append("O")
        return example | {"tokens": tokens, "tags": tags}

    examples = tiny_tagged_examples(rows, seed=seed)
    return [with_commas(example) if i % 4 < 2 else example for i, example in enumerate(examples)]


def test_entities_of_several_languages(stack: Stack, encoder: Json, tmp_path: Path) -> None:
    dataset = register(stack, "token_classification", punctuated, unlabeled=256, hidden=["tags"])
    assert dataset["splits"]["unlabeled"]["languages"] == {"en": 128, "ne": 128}
    [(_, teacher)] = finish(stack, stack.start_job(encoder, dataset))
    assert teacher["labels"] == ["O", "B-thing", "I-thing"]

    recurrent = {"embedding": 16, "hidden": 16, "projection": 32}
    (learning, bilstm), (_, factors) = finish(
        stack,
        stack.start_job(
            teacher,
            dataset,
            "bilstm",
            target={"shape": recurrent, "vocabulary_size": 170},
            training={"epochs": 12, "learning_rate": 1e-2},
        ),
        stack.start_job(
            teacher,
            dataset,
            "low_rank",
            target={"compression_ratio": 1.2, "embedding_size": 24},
            exports=["fp32"],
        ),
    )
    assert bilstm["architecture"] == "bilstm"
    assert factors["shape"]["embedding"] == 24
    assert set(dev_quality(learning)) == {
        "f1",
        "precision",
        "recall",
        "accuracy",
        "f1_en",
        "f1_ne",
        "served_f1",
    }
    for model in (teacher, bilstm, factors):
        for precision in model["manifest"]["exports"]:
            found = answers(stack, model, SENTENCE, precision=precision)
            assert [entity["word"] for entity in found] == ["superb apple", "river"]
            for entity in found:
                assert entity["entity_group"] == "thing"
                assert SENTENCE[entity["start"] : entity["end"]] == entity["word"]
    taken_back(stack, bilstm, tmp_path / "bilstm")
    taken_back(stack, factors, tmp_path / "factors")


def test_answers_to_questions(stack: Stack, encoder: Json, tmp_path: Path) -> None:
    """From SQuAD's layout to answers as the pipeline of Hugging Face gives them."""

    def nested(rows: int, *, seed: int) -> bytes:
        paragraphs = []
        for number, row in enumerate(tiny_questions(rows, seed=seed)):
            found = zip(*row["answers"].values(), strict=True)
            answers = [{"text": text, "answer_start": start} for text, start in found]
            asked = {"id": str(number), "question": row["question"], "answers": answers}
            asked["is_impossible"] = not answers
            paragraphs.append({"context": row["context"], "qas": [asked]})
        return json.dumps({"version": "v2.0", "data": [{"title": "x", "paragraphs": paragraphs}]}).encode()

    dataset = stack.post(
        "/v1/datasets",
        data={"name": "data", "task": "question_answering"},
        files={
            split: (f"{split}.json", nested(rows, seed=rows)) for split, rows in (("train", 320), ("dev", 48))
        },
    )
    assert dataset["splits"]["dev"]["unanswerable"] == 12
    training = {"epochs": 8, "max_length": 12}
    [(job, model)] = finish(stack, stack.start_job(encoder, dataset, training=training))
    assert {"f1", "exact_match", "answerable_f1"} <= set(dev_quality(job))
    assert dev_quality(job)["f1"] > 0.8
    long = " ".join(["the film of music was"] * 8 + ["with this violin and a story"])  # in several windows
    for precision in ("fp32", "int8"):
        found = answers(stack, model, {"question": "the one", "context": long}, precision=precision)
        assert found.keys() == {"score", "start", "end", "answer"}
        assert 0 <= found["score"] <= 1
        assert found["answer"] == long[found["start"] : found["end"]] == "violin", precision
    asked = {"question": "the one", "context": "a film of the music"}
    found = answers(stack, model, asked)
    assert (found["answer"], found["start"], found["end"]) == ("", 0, 0)
    both = answers(stack, model, asked, top_k=2, handle_impossible_answer=False)
    assert [bool(one["answer"]) for one in both] == [True, True]
    taken_back(stack, model, tmp_path / "model")


def test_words_behind_a_mask_and_a_task_afterwards(stack: Stack, encoder: Json, tmp_path: Path) -> None:
    """A small model of no task in particular, which is then taught one."""

    def texts(rows: int, *, seed: int) -> list[Json]:
        return [{"text": row["source"]} for row in tiny_translations(rows, seed=seed)]

    dataset = register(stack, "masked_language_modeling", texts)
    [(_, teacher)] = finish(stack, stack.start_job(encoder, dataset, exports=["fp32"]))
    [(job, narrow)] = finish(
        stack, stack.start_job(teacher, dataset, "weight_inherited", target={"compression_ratio": 2})
    )
    assert set(dev_quality(job)) == {"accuracy", "loss"}
    assert narrow["shape"]["layers"] == teacher["shape"]["layers"]
    fills = answers(stack, narrow, ["the dog [MASK] the cat", "[MASK] story"], top_k=3, precision="int8")
    assert [len(words) for words in fills] == [3, 3]
    for word in fills[0]:
        assert word["sequence"].startswith("the dog")
        assert word["sequence"].endswith("the cat")
        assert word["token_str"].removeprefix("##") in word["sequence"]

    scores = register(stack, "text_regression", tiny_scored_examples)
    again = taken_back(stack, narrow, tmp_path / "narrow")
    [(_, taught)] = finish(stack, stack.start_job(again, scores, exports=["fp32"]))
    assert taught["shape"] == narrow["shape"]
    [[answer]] = answers(stack, taught, PAIR)
    assert answer["label"] == "score"


def test_translations(stack: Stack, tmp_path: Path) -> None:
    dataset = register(stack, "translation", tiny_translations)
    sides = [
        train_sentencepiece(list(side), size=60, hard_vocab_limit=False) for side in (GERMAN, GERMAN.values())
    ]
    dimensions = {"d_model": 32, "decoder_layers": 2, "encoder_ffn_dim": 64, "decoder_ffn_dim": 64}
    marian = stack.upload_model(marian_folder(tmp_path / "marian", *sides, **dimensions))
    training = {"epochs": 10, "learning_rate": 1e-2, "dropout": 0, "evaluations": 2}
    (_, uploaded), (making, made) = finish(
        stack,
        stack.start_job(marian, dataset, training=training, exports=["fp32"]),
        stack.start_job(
            None, dataset, "scratch", target={"shape": TRANSLATOR, "vocabulary_size": 290}, training=training
        ),
    )
    assert making["metrics"]["teacher"] is None
    assert made["manifest"]["architecture"]["vocabulary"] <= 290

    shallow, narrow = (TRANSLATOR | part for part in ({"decoder_layers": 1}, {"decoder_hidden": 16}))
    as_the_teacher = {"name": "weight_distillation", "distillation": {"logits_weight": 1}}
    (distilling, distilled), (squeezing, squeezed) = finish(
        stack,
        stack.start_job(made, dataset, as_the_teacher, target={"shape": shallow}, training=training),
        stack.start_job(
            uploaded,
            dataset,
            "weight_squeezing",
            target={"shape": narrow},
            training=training | {"epochs": 8, "batch_size": 16, "learning_rate": 5e-3},
            exports=["fp32"],
        ),
    )
    for job in (making, distilling, squeezing):
        assert set(dev_quality(job)) == {"bleu", "chrf", "accuracy", "loss"}
    for job, model in ((making, made), (distilling, distilled)):
        assert dev_quality(job)["bleu"] > 80
        for parameters in ({}, {"num_beams": 4}, {"precision": "int8"}):
            [answer] = answers(stack, model, "the dog sees the girl", **parameters)
            assert answer == {"translation_text": "der Hund sieht das Mädchen"}
    # Written in letters, it takes more steps to look at its source: it has learnt German, and no more.
    assert dev_quality(squeezing)["chrf"] > 15
    written = answers(stack, squeezed, ["the dog likes the cat", "the cat"], num_beams=2, max_new_tokens=20)
    assert [list(answer) for answer in written] == [["translation_text"]] * 2
    for model in (distilled, squeezed):
        taken_back(stack, model, tmp_path / model["id"])
