"""A model for a job without a teacher: what the student looks like, and a tokenizer made of the data."""

from pathlib import Path

from app.domain.architectures import Architecture, BiLstmArchitecture, TfidfArchitecture
from app.domain.documents.manifest import DatasetManifest
from worker.contracts import Teacher
from worker.networks.new_classifier import untrained_classifier
from worker.networks.new_translator import untrained_translator


def untrained_model(dataset: Path, manifest: DatasetManifest, architecture: Architecture) -> Teacher:
    """A model of random weights, as planned; see the functions of its kinds."""
    if isinstance(architecture, (BiLstmArchitecture, TfidfArchitecture)):
        return untrained_classifier(dataset, manifest, architecture)
    return untrained_translator(dataset, architecture)
