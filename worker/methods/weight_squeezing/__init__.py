"""Weight Squeezing: learns two maps for every teacher matrix, W_s = L W_t R, then folds them away.

Paper: Weight Squeezing (Chumachenko et al., 2020). Only its idea and setting could be read: the gate, the
initial maps, what is shared and the rates are this implementation's choices, made by measurement.

When: to carry over what a teacher knows into a narrower, shallower network of its family. A step costs one
product of matrices a map more than a plain one, whatever the batch: large batches of short texts hide it.
When not: where the student's heads would be wider than the teacher's.

Hyperparameters:
    initial_map (pca): the residual stream on the principal directions of the teacher's activations, every map
        solved layer by layer so that the student's activations reconstruct the teacher's. ``select`` starts
        as the sub-cloned teacher, ``svd`` and ``gauss`` treat each matrix by itself; all three start far
        behind.
    layer_map (uniform): which teacher layers the student's come from.
    map_rate_ratio (1): how fast the maps move the folded weights, as a share of the learning rate. Each map
        is rated by the sums it is multiplied with, so that one value fits all shapes.
    distillation (none): terms from the teacher's cached predictions; cheap, and usually worth it.
    dense_ratio (0): share of the steps spent on the folded weights afterwards, with a warm-up of its own.
    gate (none): W = (1 - g) W_pre + g L W_t R over a registered small model; g starts near 0, where this is
        the small model's fine-tuning.

Interactions: with ``hidden_weight`` the teacher's states are mapped by the embeddings' initial map, so that
under ``pca`` the student is pulled to where it started from. Heads never mix: maps on their side are
block-wise.
"""

from app.domain.methods import WeightSqueezingSpec
from worker.contracts import CompressionMethod
from worker.methods.weight_squeezing.method import WeightSqueezing

METHOD: CompressionMethod[WeightSqueezingSpec] = WeightSqueezing()
