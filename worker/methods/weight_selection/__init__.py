"""Weight selection: the student starts as evenly spaced parts of the teacher's first layers, then trains.

Paper: Initializing Models with Larger Ones (Xu et al., 2024). Every n-th dimension of the residual stream and
every n-th neuron, of the first layers; nothing is scaled, and the head starts at random. The paper spaces the
rows of queries, keys and values alike; here whole heads are spaced, and dimensions within them, because rows
taken across heads would mix them.
When: as a control: the cheapest start there is, which looks at no data.
When not: where ``weight_copy`` can be had, which ranks what it takes; where the student's heads are wider
than the teacher's.
Hyperparameters: ``distillation``: absent, labels only; its presence usually helps.
"""

from app.domain.methods import WeightSelectionSpec
from worker.contracts import CompressionMethod
from worker.methods.weight_selection.method import WeightSelection

METHOD: CompressionMethod[WeightSelectionSpec] = WeightSelection()
