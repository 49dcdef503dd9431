"""Requests of KServe's protocol as JSON, right ones and wrong ones."""

import struct
from typing import Any

from tests.tiny import tiny_examples

TEXTS = [example["text"] for example in tiny_examples(3)]


def as_json(texts: Any, **more: Any) -> dict[str, Any]:
    given = {"name": "text", "shape": [len(texts)], "datatype": "BYTES", "data": texts}
    return {"inputs": [given], **more}


def changed(**changes: Any) -> dict[str, Any]:
    body = as_json(TEXTS)
    body["inputs"][0] |= changes
    return body


BAD_REQUESTS: list[tuple[Any, str]] = [
    ({}, "inputs"),
    ({"inputs": []}, "at least 1"),
    (changed(datatype="FP32", data=[1, 2, 3]), "is of type 'FP32'; texts are BYTES"),
    (changed(shape=[2]), "has 3 elements; its shape says 2"),
    (changed(shape=[3, 2]), "has the shape [3, 2]"),
    (changed(shape=[]), "has the shape []"),
    (changed(shape=[-1]), "is of -1 texts"),
    (changed(shape=[True]), "shape"),
    (changed(data=["a", 1, "b"]), "element 1 that is no text"),
    (changed(data=["a", ["b", "c"], "b"]), "element 1 that is no text"),
    (changed(data=None), "neither data nor"),
    (changed(data=["a" * 100_001], shape=[1]), "100,001 characters"),
    (as_json(["a"] * 10**5), "100,000 texts"),
    (changed(name="texts"), "takes 'text' and 'text_pair'"),
    (changed(parameters={"shared_memory_region": "a"}), "'shared_memory_region'"),
    (changed(parameters={"binary_data_size": 9}), "both data and"),
    ({"inputs": as_json(["a"])["inputs"] * 2}, "is given twice"),
    (as_json(TEXTS, outputs=[{"name": "logits"}]), "label, score, probabilities"),
    (as_json(TEXTS, outputs=[{"name": "label", "parameters": {"classification": 1}}]), "only prob"),
    (as_json(TEXTS, outputs=[{"name": "label", "parameters": {"shared": 1}}]), "'shared'"),
    (as_json(TEXTS, parameters={"temperature": 1}), "Unknown parameter 'temperature'"),
    (as_json(TEXTS, parameters={"top_k": 1}), "'top_k' is not for"),
    (as_json(TEXTS, parameters={"precision": "fp8"}), "not in 'fp8'"),
    (as_json(["a", " "]), "Input 1 has an empty text"),
    (as_json(TEXTS, outputs_too=[]), "outputs_too"),
    (as_json(TEXTS, model_name="another"), "names the model"),
]


BAD_BYTES: list[tuple[bytes, Any, str | None, str]] = [
    (struct.pack("<I", 5) + b"abc", 7, None, "ends within element 0"),
    (struct.pack("<I", 2**32 - 1) + b"abc", 7, None, "4,294,967,295 bytes"),
    (b"\1\0", 2, None, "within the length of element 0"),
    (struct.pack("<I", 3) + b"abc", 8, None, "to have 8 bytes; 7 are left"),
    (struct.pack("<I", 3) + b"abc" + b"more", 7, None, "4 bytes more"),
    (struct.pack("<I", 2) + b"\xff\xfe", 6, None, "not UTF-8"),
    (struct.pack("<I", 1) + b"a" + struct.pack("<I", 1) + b"b", 10, None, "has 2 elements"),
    (b"", -1, None, "no number of bytes"),
    (b"", True, None, "no number of bytes"),
    (b"", "7", None, "no number of bytes"),
    (b"", 0, None, "has 0 elements"),
    (b"", 0, "10000", "Give the length of the JSON"),
    (b"", 0, "-1", "Give the length of the JSON"),
    (b"", 0, "4", "not valid JSON"),
    (b"", 0, "0", "not valid JSON"),
]
