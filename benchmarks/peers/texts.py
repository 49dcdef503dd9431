"""What both peers start from: the same networks, texts, batches of 64 and optimiser."""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader
from transformers import AutoModelForSequenceClassification, AutoTokenizer, DataCollatorWithPadding

MAX_LENGTH = 64


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--student", type=Path, required=True, help="its initial weights")
    parser.add_argument("--tokenizer", type=Path, required=True)
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--dev", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--learning-rate", type=float, default=5e-4)
    parser.add_argument("--temperature", type=float, default=2.0)
    parser.add_argument("--logits-weight", type=float, default=0.9)
    parser.add_argument("--bf16", action="store_true")
    parser.add_argument("--group-by-length", action="store_true")
    return parser.parse_args()


def run(train: Callable[[argparse.Namespace, Any, Any, Any, list[dict[str, Any]]], None]) -> None:
    """Time a peer from texts to a trained student, then say how good that is."""
    options = arguments()
    torch.manual_seed(0)
    teacher = AutoModelForSequenceClassification.from_pretrained(options.teacher).eval()
    student = AutoModelForSequenceClassification.from_pretrained(options.student)
    tokenizer = AutoTokenizer.from_pretrained(options.tokenizer)
    rows = [json.loads(line) for line in options.train.read_text().splitlines()]
    began = time.perf_counter()
    encoded = encode(rows, tokenizer)
    train(options, teacher, student, tokenizer, encoded)
    wall_s = time.perf_counter() - began
    dev = [json.loads(line) for line in options.dev.read_text().splitlines()]
    print(json.dumps({"wall_s": wall_s, "dev": 100 * accuracy(student, encode(dev, tokenizer), tokenizer)}))


def encode(rows: list[dict[str, Any]], tokenizer: Any) -> list[dict[str, Any]]:
    texts = tokenizer([row["text"] for row in rows], truncation=True, max_length=MAX_LENGTH)
    return [
        {"input_ids": ids, "attention_mask": mask, "labels": row["label"]}
        for ids, mask, row in zip(texts["input_ids"], texts["attention_mask"], rows, strict=True)
    ]


@torch.inference_mode()
def accuracy(network: Any, encoded: list[dict[str, Any]], tokenizer: Any) -> float:
    network.eval()
    loader = DataLoader(encoded, batch_size=64, collate_fn=DataCollatorWithPadding(tokenizer))
    hits = [
        (
            network(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]).logits.argmax(1)
            == batch["labels"]
        )
        for batch in loader
    ]
    return float(torch.cat(hits).float().mean())
