"""TextBrewer's GeneralDistiller as its README uses it, with batches padded to their longest text."""

import argparse
import tempfile
from typing import Any

import torch
from textbrewer import DistillationConfig, GeneralDistiller, TrainingConfig
from texts import run
from torch.utils.data import DataLoader
from transformers import DataCollatorWithPadding, get_linear_schedule_with_warmup


def train(
    options: argparse.Namespace, teacher: Any, student: Any, tokenizer: Any, encoded: list[dict[str, Any]]
) -> None:
    pad = DataCollatorWithPadding(tokenizer)
    loader = DataLoader(
        encoded,
        batch_size=options.batch_size,
        shuffle=True,
        collate_fn=lambda rows: dict(pad(rows)),  # what is no plain dict is taken for a list of tensors
    )
    steps = options.epochs * len(loader)
    with tempfile.TemporaryDirectory() as folder:
        distiller = GeneralDistiller(
            train_config=TrainingConfig(device="cpu", output_dir=folder, log_dir=None, ckpt_frequency=0),
            distill_config=DistillationConfig(
                temperature=options.temperature,
                kd_loss_weight=options.logits_weight,
                hard_label_weight=1 - options.logits_weight,
            ),
            model_T=teacher,
            model_S=student,
            adaptor_T=lambda _batch, output: {"logits": output.logits},
            adaptor_S=lambda _batch, output: {"logits": output.logits, "losses": output.loss},
        )
        with distiller:
            distiller.train(
                torch.optim.AdamW(student.parameters(), lr=options.learning_rate, weight_decay=0.01),
                loader,
                num_epochs=options.epochs,
                scheduler_class=get_linear_schedule_with_warmup,
                scheduler_args={
                    "num_warmup_steps": round(0.06 * steps),
                    "num_training_steps": steps,
                },
                max_grad_norm=1.0,
            )


if __name__ == "__main__":
    run(train)
