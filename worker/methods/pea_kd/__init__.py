"""Pea-KD: few layers, each run twice, query and key exchanged the second time, that first judge the teacher.

Paper: Pea-KD: Parameter-efficient and Accurate Knowledge Distillation on BERT (Cho and Kang, 2022), after its
authors' code. The student starts as the teacher's first layers. It is pretrained to tell which texts the
teacher gets right and wrong, surely and unsurely (four classes); its encoder then learns, under the teacher's
head, as in patient distillation. The authors draw that head anew, of two or three labels; of 150 a new one is
still poor after three epochs (54 % right of CLINC150, 93 % under the teacher's).
When: for the fewest parameters when latency matters less: the student is as slow as one of twice the depth.
When not: for speed, or where the teacher makes no mistakes on its training texts to learn from.

Hyperparameters:
    sharing (shuffled): the order in which layers run; ``repeated`` and ``paired`` never exchange,
        ``upper_half`` and ``lower_half`` run one half again.
    pretraining_ratio (0.3): share of the steps spent on the teacher's judgement; 0 leaves it out. Thresholds
        between sure and unsure are the teacher's median confidences where it is right and where it is wrong.
    distillation: the paper's alpha 0.7, temperature 10, beta 100. beta is of a mean over layers and
        dimensions, as in the authors' code; other libraries sum over dimensions. The paper's tasks have two
        labels or three: a temperature that leaves a teacher's choice among two plain hides it among many, so
        10 is divided by the number of other labels, down to 1.

Interactions: patient terms match the states after every run of a layer but the last. ``learning_rate``
defaults to 1e-4.
"""

from app.domain.methods import PeaKdSpec
from worker.contracts import CompressionMethod
from worker.methods.pea_kd.method import PeaKd

METHOD: CompressionMethod[PeaKdSpec] = PeaKd()
