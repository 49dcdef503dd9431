"""Trimming the vocabulary: a teacher that knows only the word pieces that its data uses.

Everything after it sees just a teacher with a smaller vocabulary; only where rows and words are to be judged
the one before is asked.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import replace

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PretrainedConfig, PreTrainedModel

from app.domain.errors import JobError
from app.domain.tasks import Head, Task
from worker.contracts import IntArray, Teacher, TokenizedSplit
from worker.networks.loading import build_network
from worker.networks.pooled import pooling_of
from worker.vocabulary.tokenizer_surgery import letters_of, pieces_of, special_ids, trim_tree


def count_pieces(splits: Iterable[TokenizedSplit | None], vocabulary: int) -> IntArray:
    """How often each piece occurs in what is read and in what is written, (vocabulary,)."""
    counts = np.zeros(vocabulary, dtype=np.int64)
    for split in splits:
        if split is not None:
            counts += np.bincount(split.ids, minlength=vocabulary)
            counts += count_pieces([split.targets, split.written], vocabulary)
    return counts


def trim_vocabulary(teacher: Teacher, counts: IntArray, size: int, *, task: Task) -> Teacher:
    """A teacher of at most ``size`` pieces: special ones, the data's letters, and the most frequent.

    Where there is room, pieces of the data's letters that do not occur in it come last, in the order of their
    ids, which in most vocabularies is that of their frequency: other texts will have some of them.

    A text of kept pieces is cut and answered as before; what is not kept is cut into shorter pieces.

    Args:
        teacher: left as it is.
        counts: how often each of its pieces occurs, (its vocabulary,).
        size: of the vocabulary.
        task: of the teacher's head.

    Raises:
        JobError: ``vocabulary_too_small``, when special pieces and letters alone are more.
    """
    keep = _chosen(teacher, counts, size)
    if len(keep) == teacher.architecture.vocabulary:
        return teacher
    target = teacher.target_tokenizer
    return replace(
        teacher,
        network=_trimmed_network(teacher, keep, task=task),
        tokenizer=trim_tokenizer(teacher.tokenizer, keep),
        target_tokenizer=None if target is None else trim_tokenizer(target, keep),
        architecture=teacher.architecture.model_copy(update={"vocabulary": len(keep)}),
        digest=hashlib.sha256(teacher.digest.encode() + keep.tobytes()).hexdigest(),
        untrimmed=teacher,
    )


def trim_tokenizer(tokenizer: Tokenizer, keep: IntArray) -> Tokenizer:
    """A tokenizer of some pieces, ascending ids, renumbered from 0 in their order."""
    tree = json.loads(tokenizer.to_str())
    trim_tree(tree, _new_ids(keep))
    return Tokenizer.from_str(json.dumps(tree))


def config_within(config: PretrainedConfig, size: int) -> PretrainedConfig:
    """The config with what it names among the first ``size`` pieces: before it is known which are kept."""
    values = {name: min(id_, size - 1) for name, id_ in _token_ids(config).items()}
    return type(config).from_dict(config.to_dict() | values)


def _chosen(teacher: Teacher, counts: IntArray, size: int) -> IntArray:
    """The ids to keep, ascending."""
    seen = np.flatnonzero(counts).tolist()
    keep = {
        id_ for id_ in _token_ids(teacher.network.config).values() if id_ < teacher.architecture.vocabulary
    }
    if teacher.architecture.record.positions_behind_padding:  # the id of padding has to stay
        keep |= set(range(max(keep & {teacher.network.config.pad_token_id}, default=0)))
    tokenizers = [teacher.tokenizer]
    if teacher.target_tokenizer is not None:
        tokenizers.append(teacher.target_tokenizer)
    trees = [json.loads(tokenizer.to_str()) for tokenizer in tokenizers]
    kinds = [pieces_of(tree) for tree in trees]
    keep.update(*(special_ids(tree) for tree in trees), *(pieces.required(seen) for pieces in kinds))
    if len(keep) > size:
        raise JobError(
            "vocabulary_too_small",
            f"target.vocabulary_size is {size:,}, but special tokens and the data's characters alone need "
            f"{len(keep):,}. Use at least that.",
            smallest=len(keep),
        )
    known = [letters_of(pieces, seen) for pieces in kinds]
    for id_ in np.argsort(-counts, kind="stable").tolist():
        if len(keep) == size:
            break
        written = [pieces.letters(id_) for pieces in kinds]
        if not any(letters and letters <= ours for letters, ours in zip(written, known, strict=True)):
            continue
        missing = {id_}.union(*(pieces.parts(id_) for pieces in kinds)) - keep
        if len(keep) + len(missing) <= size:
            keep |= missing
    return np.asarray(sorted(keep), dtype=np.int64)


def _trimmed_network(teacher: Teacher, keep: IntArray, *, task: Task) -> PreTrainedModel:
    """The teacher's network without the rows of the pieces that are left out."""
    network, new_ids = teacher.network, _new_ids(keep)
    values = network.config.to_dict()
    values |= {name: new_ids.get(id_) for name, id_ in _token_ids(network.config).items()}
    config = type(network.config).from_dict(values)
    architecture = teacher.architecture.model_copy(update={"vocabulary": len(keep)})
    with torch.random.fork_rng():  # what is drawn is overwritten
        dimensions = pooling_of(config).projection or teacher.architecture.width
        head = Head.of(task, labels=config.num_labels, vocabulary=len(keep), dimensions=dimensions)
        trimmed = build_network(config, architecture, head)
    rows = torch.from_numpy(keep)
    state = {}
    for name, ours in trimmed.state_dict().items():
        theirs = network.state_dict()[name].cpu()
        for dim in range(theirs.ndim):
            if theirs.shape[dim] != ours.shape[dim]:
                theirs = theirs.index_select(dim, rows)
        state[name] = theirs
    trimmed.load_state_dict(state)
    return trimmed.to(network.device)


def _token_ids(config: PretrainedConfig) -> Mapping[str, int]:
    """The pieces that a config names."""
    return {
        name: value
        for name, value in config.to_dict().items()
        if name.endswith("_token_id") and isinstance(value, int)
    }


def _new_ids(keep: IntArray) -> Mapping[int, int]:
    return {int(old): new for new, old in enumerate(keep)}
