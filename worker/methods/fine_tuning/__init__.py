"""Fine-tuning: a task head on an encoder, all weights trained on the labels; the size stays.

Paper: none of its own; the common recipe of Devlin et al. (2019).
When: to make a teacher out of a bare encoder, and as the ceiling that a student is measured against.
When not: to make anything smaller.
Hyperparameters: only those of the training. ``learning_rate`` defaults to 0.05 over the width: 1.3e-4 for
MiniLM, 6.5e-5 for BERT-base. A head that the model came without trains at 5e-4, or at that rate where it is
larger.
"""

from app.domain.methods import FineTuningSpec
from worker.contracts import CompressionMethod
from worker.methods.fine_tuning.method import FineTuning

METHOD: CompressionMethod[FineTuningSpec] = FineTuning()
