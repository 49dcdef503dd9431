"""Distillation: the student learns the teacher's softened predictions.

Paper: Distilling the Knowledge in a Neural Network (Hinton et al., 2015).
When: always worth comparing with; teacher outputs are cached, so that a step costs what plain training costs.
When not: with a poor teacher.
Knobs: ``distillation.temperature`` (2): higher shows more of the small probabilities. ``logits_weight``
(0.9): the share of the teacher's term, labels get the rest. ``hidden_weight`` (0): adds the distance of
last hidden states, the teacher's projected on their principal directions. ``initialisation`` (``random``):
``weight_copy`` starts from the sub-cloned teacher.
"""

from worker.methods.distillation.method import Distillation

METHOD = Distillation
