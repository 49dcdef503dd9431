"""Weight-Inherited Distillation: a teacher that narrows as it trains, until what is left is the student.

Every matrix W of the teacher stands between two compactors, W' = R W L, square and at first the identity, so
that training begins at the teacher, turned so that what goes says least. Indices are then given up a portion
at a time, the same ones by all rows and columns that share them, and what is left is a plain network: nothing
has to be merged afterwards.

Paper: Weight-Inherited Distillation (Wu et al., 2023), known here from its code. The paper's: compactors on
both sides of every matrix and one for the embeddings, their start, which rows and columns share indices,
the linear schedule with choices made anew, ``dim`` and ``head``, layer norms over what is there, slow
learning of what is inherited. Its merge forgets that narrower heads divide their scores by less: here the
queries are scaled, and the narrowed network equals the masked one of the paper.

Ours: what is chosen goes at once, and what stays is fitted to make up for it (``reconstruction.py``), in
place of an L2 penalty through Adam's moments, which also lets it come back. Of MiniLM at a tenth (one seed,
best on dev): on STS-B 74.0, and 60.0 with fading over each interval and nothing made up for; on CoLA 22.3,
and 14.9. Portions that take the same part of what is left, in place of equally many, are no better: 75.2
and 20.7. Rates fall once over both phases, as in the paper; falling in each of them, as they did in these
runs, leaves 48.9 in place of 62.4 on STS-B after the last portion, and 74.0 in place of 75.4 at the end.
Indices are ranked by what scaling them would do to the loss, first order and squared, instead of by norms
of compactors, which say little while they are near the identity. The teacher is turned before. ``dim``
drops residual dimensions wherever they are, not equally many of every 64. The word table itself stays as it
is until the dense phase.

When: to narrow a teacher and keep its depth. When not: for a shallower student, or where a step must be
cheap: it begins at the teacher's cost, and compactors add half of that at batches of 64 sentences.

Hyperparameters:
    strategy (head): attention drops whole heads; ``dim`` keeps all and narrows each. A head finds the same
        word in the other text of a pair by all of its dimensions: of a teacher of pairs (85.2 on dev) whose
        heads have 11 of 32 dimensions for queries and keys, all else whole, 58.5 is left, and 85.7 if it is
        values that have 11. At a quarter, in three epochs, whole heads end at 81.7 and narrow ones at 71.3;
        squeezing at 81.3.
    rotation (pca): what is inherited is the teacher turned: its residual stream to principal directions,
        which is exact but for the gains of layer norms; queries with keys and values with outputs to balanced
        ones (``head_rotation.py``), which is exact. ``none``, as in the paper, inherits it as it is. Of
        MiniLM at a tenth on SST-2 (1,053 steps, one seed): 85.8, and 84.6 as it is.
    prune_ratio (0.25): share of the steps over which indices are given up. The steps after it are cheaper
        and teach more: on STS-B at a tenth 75.2, and 74.1 at 0.12; on SST-2, before what stays made up for
        what goes, 85.7, and 84.7 at 0.5.
    compactor_rate_ratio (1), inherited_rate_ratio (0.02): how fast W' moves with its compactors and with W,
        as shares of the learning rate. A compactor's rate is divided by the mean absolute column sum
        that it is multiplied with.
    dense_ratio (0.75): share of the steps spent on the small network's own weights.
    distillation (none): terms from the teacher. That on relations counts in the dense phase alone: before it
        the width is another at every step. There are none on hidden states and first tokens: the
        student's lie in directions of its own.

Interactions: steps before the planned size is reached cannot be the student, however good. On
masked_language_modeling the student is a model for any task: the teacher of a ``fine_tuning`` job.
"""

from app.domain.methods import WeightInheritedSpec
from worker.contracts import CompressionMethod
from worker.methods.weight_inherited.method import WeightInherited

METHOD: CompressionMethod[WeightInheritedSpec] = WeightInherited()
