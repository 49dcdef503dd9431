"""Weight Squeezing: learns two maps for every teacher matrix, W_s = L W_t R, then folds them away.

Paper: Weight Squeezing (Chumachenko et al., 2020). Only its idea and setting could be read: the gate, the
initial maps, what is shared and the rates are this implementation's choices, made by measurement.
"""

from worker.methods.weight_squeezing.method import WeightSqueezing

METHOD = WeightSqueezing
