"""Fine-tuning: a task head on an encoder, all weights trained on the labels; the size stays.

Paper: none of its own; the common recipe of Devlin et al. (2019).
When: to make a teacher out of a bare encoder, and as the ceiling that a student is measured against.
When not: to make anything smaller.
Knobs: none but the training's. ``learning_rate`` defaults to 6e-5.
"""

from worker.methods.fine_tuning.method import FineTuning

METHOD = FineTuning
