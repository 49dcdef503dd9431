"""Distillation: the student learns the teacher's softened predictions.

Papers: Distilling the Knowledge in a Neural Network (Hinton et al., 2015); Patient Knowledge Distillation
(Sun et al., 2019); MiniLMv2 (Wang et al., 2021).
When: always worth comparing with; teacher outputs are cached, so that a step costs what plain training costs.
Masked positions differ in every batch, so the teacher runs beside the student.
When not: with a poor teacher.

Hyperparameters:
    distillation.temperature (2 of two labels, 1 of more): higher shows more of the small probabilities. Among
        many labels they outweigh the teacher's choice: of 150 a student learns far slower at 2.
    distillation.logits_weight (0.9): the share of the teacher's term, labels get the rest.
    distillation.hidden_weight (0): distance of last hidden states. A wider teacher's are mapped to the
        dimensions that a copied student kept, of a random student to the principal directions of the last.
    distillation.patient_weight (0): distance of first tokens' normalised states, mapped likewise, a mean over
        layers and dimensions: 10 to 1000 in the paper. A student that runs one layer has none to match.
    distillation.relation_weight (0): how tokens relate by queries, keys and values of the last layers, the
        mean of the three; neither widths nor heads need to match.
    initialisation (weight_copy): starts from the sub-cloned teacher; ``weight_selection`` from evenly spaced
        parts of its first layers. From ``random`` weights a student is far behind at the default steps (29 to
        80 on sets where copied weights reach 52 to 89), and a control for the other methods.
"""

from app.domain.methods import DistillationSpec
from worker.contracts import CompressionMethod
from worker.methods.distillation.method import Distillation

METHOD: CompressionMethod[DistillationSpec] = Distillation()
