"""Answers to questions over HTTP, against the torch network asked one window at a time."""

from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import torch
from huggingface_hub import InferenceClient

from app.engine.answer_spans import AskedWindow, no_answer_score, rank_answers
from app.engine.question_windows import WindowTokenizer
from app.engine.tokenizing import Question
from tests.app.inference.conftest import Register, predict
from tests.app.inference.models import MAX_LENGTH, Folders, load
from worker.networks.loading import load_tokenizer

TASK = "question_answering"
SHORT = Question("Who was charming?", "The film was dull and the actor was wonderful.")
LONG = Question("Where was the music?", "A story of one castle, and this violin was superb. " * 20)
QUESTIONS = [question._asdict() for question in (SHORT, LONG)]


@pytest.fixture(scope="module")
def folder(exported_folder: Folders) -> Path:
    return exported_folder("bert", TASK)


def windows_of(folder: Path, question: Question) -> list[AskedWindow]:
    """What the torch network says of each window."""
    network = load(TASK, folder)
    tokenizer = WindowTokenizer(load_tokenizer(folder / "tokenizer.json"), max_length=MAX_LENGTH)
    found = []
    for window in tokenizer.windows([question])[0]:
        ids, types = (torch.tensor([given]) for given in (window.tokens.ids, window.tokens.type_ids))
        with torch.no_grad():
            output = network(input_ids=ids, token_type_ids=types)
        logits = torch.stack([output.start_logits[0], output.end_logits[0]], dim=1)
        found.append(AskedWindow(window.spans, logits.numpy()[window.places]))
    return found


def is_answer(answer: dict[str, Any], question: Question) -> bool:
    return set(answer) == {"score", "start", "end", "answer"} and (
        question.context[answer["start"] : answer["end"]] == answer["answer"]
    )


class TestAnswers:
    def test_are_those_of_the_torch_network(
        self, client: httpx.Client, register: Register, folder: Path
    ) -> None:
        answers = predict(client, register(task=TASK), QUESTIONS, top_k=3).json()
        for question, given in zip((SHORT, LONG), answers, strict=True):
            windows = windows_of(folder, question)
            assert (len(windows) > 1) == (question is LONG)
            expected = rank_answers(windows, question.context, count=3)
            assert [answer["score"] for answer in given] == pytest.approx(
                [np.exp(answer.log_score) for answer in expected], rel=1e-3
            )
            assert (given[0]["start"], given[0]["end"]) == expected[0][:2]
            assert all(is_answer(answer, question) for answer in given)

    def test_of_one_question_stand_alone(self, client: httpx.Client, register: Register) -> None:
        """As clients of Hugging Face expect it: an object, or a list where several are asked for."""
        model_id = register(task=TASK)
        best = predict(client, model_id, QUESTIONS[0]).json()
        assert is_answer(best, SHORT)
        assert predict(client, model_id, QUESTIONS[:1]).json() == [best]
        assert predict(client, model_id, QUESTIONS[0], top_k=2).json()[0] == best
        shortest = predict(client, model_id, QUESTIONS[0], max_answer_len=1, top_k=20).json()
        assert all(" " not in answer["answer"] for answer in shortest)

    @pytest.mark.parametrize("above", [True, False])
    def test_may_be_that_there_is_none(
        self, client: httpx.Client, register: Register, folder: Path, above: bool
    ) -> None:
        """By the threshold that was chosen on dev."""
        windows = windows_of(folder, SHORT)
        none = no_answer_score(windows)
        best = rank_answers(windows, SHORT.context, threshold=np.inf)[0]
        odds = none - best.log_score
        model_id = register(task=TASK, thresholds=[odds + (0.1 if above else -0.1)])
        answer = predict(client, model_id, QUESTIONS[0]).json()
        assert (answer["answer"] == "") == (not above)
        expected = best.log_score if above else none
        assert answer["score"] == pytest.approx(np.exp(expected), rel=1e-3)
        never = predict(client, model_id, QUESTIONS[0], handle_impossible_answer=False).json()
        assert never["answer"]

    def test_of_a_model_that_learnt_no_threshold(self, client: httpx.Client, register: Register) -> None:
        model_id = register(task=TASK)
        asked = predict(client, model_id, QUESTIONS[0], handle_impossible_answer=True, top_k=100).json()
        assert any(answer["answer"] == "" for answer in asked)
        assert all(answer["answer"] for answer in predict(client, model_id, QUESTIONS[0], top_k=100).json())

    def test_hugging_face_client_reads_them(self, server_url: str, register: Register) -> None:
        hub = InferenceClient(f"{server_url}/v1/models/{register(task=TASK)}/predict")
        best = hub.question_answering(question=SHORT.question, context=SHORT.context)
        assert best.answer == SHORT.context[best.start : best.end]
        both = hub.question_answering(question=SHORT.question, context=SHORT.context, top_k=2)
        assert [both[0].answer, len(both)] == [best.answer, 2]


class TestRefusals:
    @pytest.mark.parametrize(
        ("inputs", "problem"),
        [
            ("Who?", "question_required"),
            ({"text": "Who?", "text_pair": "Ada."}, "question_required"),
            ({"question": "Who?", "context": " "}, "empty_text"),
            ({"question": "Who?"}, "invalid_request"),
            ({"question": "Who?", "context": "Ada.", "more": 1}, "invalid_request"),
        ],
        ids=str,
    )
    def test_of_other_inputs(
        self, client: httpx.Client, register: Register, inputs: Any, problem: str
    ) -> None:
        answer = predict(client, register(task=TASK), inputs)
        assert (answer.status_code, answer.json()["type"].rpartition(":")[2]) == (422, problem)

    def test_of_questions_to_other_models(self, client: httpx.Client, register: Register) -> None:
        for task in ("text_classification", "token_classification", "translation"):
            answer = predict(client, register(task=task), QUESTIONS[0])
            assert answer.json()["type"].endswith("questions_not_supported")
