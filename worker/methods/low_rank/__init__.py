"""Low rank: every matrix of the teacher's layers becomes a product of two thinner ones, which then train.

Paper: Language model compression with weighted low-rank factorization (Hsu et al., 2022), beside the plain
singular value decomposition it is compared with. Its formula could be read in a review alone: a matrix's rows
are taken to be its outputs.
When: as a control; where depth and width have to stay, because something else reads the states.
When not: for speed. A layer runs twice as many matrices, none of them saves much: look at the latency.
Hyperparameters: ``factorisation`` (``svd``): ``fisher`` keeps best the rows that the labels' loss depends on
most. ``distillation``: absent, labels only. The rank is the target's; ``learning_rate`` defaults to 1e-4, as
the student starts near its teacher.
"""

from app.domain.methods import LowRankSpec
from worker.contracts import CompressionMethod
from worker.methods.low_rank.method import LowRank

METHOD: CompressionMethod[LowRankSpec] = LowRank()
