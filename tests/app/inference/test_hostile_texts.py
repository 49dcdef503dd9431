"""Predictions of whatever can be sent: answered, or refused by an error that is described. Never a hang."""

import json
from typing import Any

import httpx
import pytest

from app.domain.tasks import Task
from tests.app.inference.conftest import Register

TEXTS = [
    "",
    " ",
    "\0",
    "a\0[MASK]\0b",
    "[CLS][SEP][PAD][UNK][MASK]",
    "\u202eright to left\u202c \u200b\u200d\ufeff\u2066x\u2069",
    "\x01\x1b[31m\x7f\x9f",
    "\ufffd\uffff\U0010ffff\ue000",
    "e" + "\u0301" * 2000,
    "\u0e01\u0e33 \u0915\u094d\u0937 \u1112\u1161\u11ab \ufdfa" * 50,
    "The film. 電影。フィルム 영화 кино ταινία فيلم סרט ภาพยนตร์ चलचित्र 🎬🏳️‍🌈👨‍👩‍👧‍👦",
    "a" * 99_999,
    "\u6f22" * 20_000,
    " ".join("ab" * 5_000),
    "\r\n\t\v\f\u2028\u2029\x85",
    "##ing ##s ## #",
]
BODIES = [
    b"",
    b"\xff\xfe",
    b'{"inputs": "\\ud800"}',
    b'{"inputs": "\\udc00\\ud800 [MASK]"}',
    b'{"inputs": "\xed\xa0\x80"}',
    b'{"inputs": ["a", "\\u0000"], "parameters": {"\\ud800": 1}}',
    b'{"inputs": ' + b"[" * 100_000,
    b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b"}",
    b'{"inputs": "a", "parameters": ' + b'{"a":' * 2_000 + b"1" + b"}" * 2_000 + b"}",
    b'{"inputs": "a", "inputs": ["b [MASK]"]}',
    b'{"inputs": ' + b"1" * 10_000 + b"}",
    b'{"inputs": 1e999}',
    b'{"inputs": NaN}',
    b'{"inputs": {"text": "a", "text_pair": 1}}',
    b'{"inputs": {"text": "a", "text_pair": "\\u0000[SEP]"}}',
    b'{"inputs": ["a", null]}',
    b'{"inputs": []}',
    b'{"inputs": true, "parameters": []}',
    b'{"inputs": "a [MASK]", "parameters": {"top_k": 1e30}}',
    b'{"inputs": "a [MASK]", "parameters": {"targets": ["\\u0000", "", "\\u202e"]}}',
    b'{"inputs": "a", "parameters": {"num_beams": 8, "length_penalty": 1e-300}}',
    json.dumps({"inputs": ["[MASK]"] * 300}).encode(),
    json.dumps({"inputs": [""] * 300}).encode(),
    json.dumps({"inputs": ["a"] * 100_000}).encode(),
]


@pytest.mark.parametrize(
    "task", ["text_classification", "token_classification", "masked_language_modeling", "translation"]
)
def test_no_text_and_no_body_is_too_much(client: httpx.Client, register: Register, task: Task):
    model_id = register(task=task, exports=("fp32",))
    for content in [*BODIES, *(json.dumps({"inputs": text}).encode() for text in TEXTS)]:
        answer = ask(client, model_id, content)
        assert answer.status_code in {200, 400, 413, 422}, (content[:100], answer.text)
        body = answer.json()
        assert isinstance(body, list) if answer.status_code == 200 else body["error"], content[:100]


def test_all_of_them_together_are_answered_as_each_alone(client: httpx.Client, register: Register):
    model_id = register(exports=("fp32",))
    texts = [text for text in TEXTS if text.strip()]  # the others are refused
    alone = [ask(client, model_id, json.dumps({"inputs": [text]}).encode()).json()[0] for text in texts]
    together = ask(client, model_id, json.dumps({"inputs": texts}).encode()).json()
    assert [best(scores) for scores in together] == [best(scores) for scores in alone]


def ask(client: httpx.Client, model_id: str, content: bytes) -> httpx.Response:
    headers = {"content-type": "application/json"}
    return client.post(f"/v1/models/{model_id}/predict", content=content, headers=headers, timeout=60)


def best(scores: list[dict[str, Any]]) -> Any:
    return scores[0]["label"], pytest.approx(scores[0]["score"], abs=1e-5)
