"""Static embeddings: one vector for each token, from the teacher, and a text's is the mean of its tokens'.

Papers: A simple but tough-to-beat baseline for sentence embeddings (Arora et al., 2017), for the weights by
frequency; Model2Vec (Tulkens and van Dongen, 2024), which is software, for the rest.
When: for vectors at the cost of a lookup, and as what a smaller transformer has to be better than.
When not: where the order of words decides.

Hyperparameters:
    weighting (sif): a / (a + p), with p a token's share of the training texts; ``zipf`` takes the place of
        a token in the vocabulary for its rank; ``none`` weighs all alike. Training then moves the rows,
        weights included.
    sif_coefficient (1e-3): a.
    learning_rate (training): 3e-3 by default, as only rows of a table move.

Interactions: the dimensions are the target's, and what the teacher is brought to before: its vectors on their
principal directions. Where vectors of another teacher are learnt, rows start at random.
"""

from app.domain.methods import StaticEmbeddingSpec
from worker.contracts import CompressionMethod
from worker.methods.static_embedding.method import StaticEmbeddings

METHOD: CompressionMethod[StaticEmbeddingSpec] = StaticEmbeddings()
