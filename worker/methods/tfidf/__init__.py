"""Logistic regression on TF-IDF of word pieces and pairs of neighbours, in the form of a network.

What: counts of terms times their inverse document frequencies, at length one; scikit-learn's logistic
regression on them; the same as one network, which is exported and served as any other.
When: as a control. A student that is no better than this has learnt words, and nothing of their order.
When not: texts need more understanding than their words give (pairs, entailment).
Hyperparameters: ``inverse_regularisation`` (of 1, 4 and 16 the best on dev). Those of the training are of no
concern: there are no steps, and no seed.
Where it differs from scikit-learn's TfidfVectorizer: terms are pieces of the teacher's tokenizer, or of one
made of the data, and not words; a term that all rows have is left out.
Interactions: ``target.shape.terms`` decides the size; where the data have fewer, the rest stays empty.
"""

from app.domain.methods import TfidfSpec
from worker.contracts import CompressionMethod
from worker.methods.tfidf.method import TfidfRegression

METHOD: CompressionMethod[TfidfSpec] = TfidfRegression()
