"""Weight Distillation: generates the student's weights from groups of teacher layers, then trains them.

Paper: Weight Distillation: Transferring the Knowledge in Neural Network Parameters (Lin et al., 2021). Each
student weight is W = S ⊙ tanh(u) + B, with u a learnt map of the same weight of some adjacent teacher layers.
For a share of the steps S, B and the maps train while the teacher's weights stay; then the generated weights
do, with a quarter of the warm-up. The teacher is learnt from too, through its translations or its logits.

When: translation with a deep encoder, whose depth is kept, and a shallow or narrow decoder, where the time
goes; any encoder as well.
When not: where the teacher's depth is no multiple of the student's.

Hyperparameters:
    initial_generator (select): the student begins as the sub-cloned teacher: maps select, B is what is left.
        One map for each residual stream, block-wise ones for heads, one for each matrix's neurons; biases,
        norms, tables and head are copied and trained as they are. This is this implementation's choice.
        ``xavier`` is the paper's code: random maps for each matrix, bias, norm and table, S = 1, B = 0. tanh
        then shrinks the norms of what is kept (1 to 0.76), and the rest begins at nothing: it wants a long
        warm-up and many steps.
    generator_ratio (0.5): share of the steps in which the generator trains.
    distillation: terms from the teacher; null: labels only.

Interactions: under ``select`` maps are slowed down so that no weight moves faster than one trained as it is;
under ``xavier`` all rates are the same, as in the paper.
"""

from app.domain.methods import WeightDistillationSpec
from worker.contracts import CompressionMethod
from worker.methods.weight_distillation.method import WeightDistillation

METHOD: CompressionMethod[WeightDistillationSpec] = WeightDistillation()
