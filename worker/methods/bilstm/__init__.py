"""Distillation into a bidirectional LSTM over a small word table.

What: word pieces -> BiLSTM -> projection, in which the teacher's states are learnt -> head, which learns its
logits and the labels. Word vectors start as the teacher's, on their principal directions.
Papers: Distilling BERT into Simple Neural Networks with Unlabeled Transfer Data (Mukherjee and Awadallah,
2019); XtremeDistil (Mukherjee and Awadallah, 2020).
When: latency counts most, labels are few, and there is much unlabelled text of the same kind.
When not: texts need more understanding than their words and order give (pairs, entailment), or there is no
text beside the labelled one.
Hyperparameters: ``training`` (``stagewise``): representations, then logits, then labels; ``joint``: all three
losses in each step, labelled rows repeated until one in eight is labelled. ``gradual_unfreezing`` (on):
within a stage first the head trains, then the projection, the LSTM and the words join in. ``teacher_layer``
(of texts the last, of tokens the middle one). ``soft_targets`` (``logits``), ``representation_loss``
(``mse``), ``dropout`` (0.2). ``training.learning_rate`` defaults to 4e-3.
Where papers and code differ or are silent: texts are pooled by their largest values, as in the code of 2019.
States are compared before the projection's GELU, which could not reach negative ones. Logits are compared as
they are, moved to mean 0. The labels' stage goes on with the logits' head. Each sub-stage keeps its best by
its own loss on dev, those of the labels by the task's metric; what the logits' stage leaves may be the
student, too. Test is never looked at. Stages have shares of the steps, not a number of epochs each.
Interactions: ``target.vocabulary_size`` decides the size, as nearly all parameters are words. The projection
is as wide as the teacher.
"""

from app.domain.methods import BiLstmSpec
from worker.contracts import CompressionMethod
from worker.methods.bilstm.method import BiLstmDistillation

METHOD: CompressionMethod[BiLstmSpec] = BiLstmDistillation()
