"""Scratch: the student's shape from random weights, trained on the labels alone.

Paper: none; the control without which no other result means anything.
When: to learn what the shape and the data give by themselves.
When not: to get a good student.
Hyperparameters: only those of the training. ``learning_rate`` defaults to 5e-4.
"""

from app.domain.methods import ScratchSpec
from worker.contracts import CompressionMethod
from worker.methods.scratch.method import Scratch

METHOD: CompressionMethod[ScratchSpec] = Scratch()
