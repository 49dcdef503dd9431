"""Weight copy: the student starts as selected rows and columns of the teacher, then trains.

Paper: Weight subcloning (Samragh et al., 2023). Dimensions of the residual stream are ranked once for the
whole network by mean absolute activation, heads and neurons layer by layer; matrices that read fewer inputs
are scaled.
When: as a quick, strong start, and as the control of every method that transforms weights.
When not: where the student's heads are wider than the teacher's.
Hyperparameters: ``layer_map`` (``uniform``): which layers are taken; ``outer`` drops the middle, as the paper
does. ``rescale`` (on): keeps the spread of outputs. ``distillation``: absent, labels only; its presence
usually helps.
Interactions: wants a learning rate below that of random weights on long runs; the default is the same 5e-4.
"""

from app.domain.methods import WeightCopySpec
from worker.contracts import CompressionMethod
from worker.methods.weight_copy.method import WeightCopy

METHOD: CompressionMethod[WeightCopySpec] = WeightCopy()
