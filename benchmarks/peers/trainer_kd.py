"""transformers' Trainer with a distillation loss; tuned by --bf16 and --group-by-length."""

import argparse
import tempfile
from typing import Any

import torch
from texts import run
from torch import Tensor
from torch.nn import functional
from transformers import DataCollatorWithPadding, Trainer, TrainingArguments


class DistillationTrainer(Trainer):
    """(1 - w) CE + w T² KL, the teacher asked in every step."""

    def __init__(
        self, *args: Any, teacher: Any, temperature: float, logits_weight: float, **more: Any
    ) -> None:
        super().__init__(*args, **more)
        self._teacher = teacher
        self._temperature = temperature
        self._weight = logits_weight

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
        output = model(**inputs)
        with torch.no_grad():
            logits_t = self._teacher(
                input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]
            ).logits
        soft = functional.kl_div(
            functional.log_softmax(output.logits / self._temperature, dim=-1),
            functional.log_softmax(logits_t / self._temperature, dim=-1),
            reduction="batchmean",
            log_target=True,
        )
        return self._weight * self._temperature**2 * soft + (1 - self._weight) * output.loss


def train(
    options: argparse.Namespace, teacher: Any, student: Any, tokenizer: Any, encoded: list[dict[str, Any]]
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        DistillationTrainer(
            model=student,
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=options.epochs,
                per_device_train_batch_size=options.batch_size,
                learning_rate=options.learning_rate,
                weight_decay=0.01,
                warmup_steps=0.06,
                max_grad_norm=1.0,
                bf16=options.bf16,
                train_sampling_strategy="group_by_length" if options.group_by_length else "random",
                use_cpu=True,
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
            ),
            train_dataset=encoded,
            data_collator=DataCollatorWithPadding(tokenizer),
            teacher=teacher,
            temperature=options.temperature,
            logits_weight=options.logits_weight,
        ).train()


if __name__ == "__main__":
    run(train)
