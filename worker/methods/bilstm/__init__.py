"""Distillation into a bidirectional LSTM over a small word table.

Papers: Distilling BERT into Simple Neural Networks with Unlabeled Transfer Data (Mukherjee and Awadallah,
2019); XtremeDistil (Mukherjee and Awadallah, 2020).
"""

from worker.methods.bilstm.method import BiLstmDistillation

METHOD = BiLstmDistillation
