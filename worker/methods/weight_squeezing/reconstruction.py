"""Maps that start where the student's activations come closest to the teacher's, layer by layer.

The student's residual stream is the teacher's on its principal directions. Going up from the embeddings, each
map that reads the stream is the regression of what the teacher reads there on what the student has there, and
each map that writes it is changed by the least that makes the student's stream the teacher's. A student layer
also answers for the teacher layers that are left out below it. The regressions have closed forms, so that a
few thousand texts take seconds; the idea is that of SP3 and SliceGPT, taken further by the refits.

Shapes: K tokens, D and d the teacher's and student's width, F and f their ffn, h heads of k and j dimensions.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from app.core.shapes import EncoderCard
from worker.methods.weight_squeezing.initial_maps import (
    InitialMaps,
    Maps,
    Place,
    head_selector,
    kept_weight,
    selector,
)
from worker.methods.weight_squeezing.reparameterization import map_columns, map_rows
from worker.modeling.anatomy import ANATOMIES, HeadParts, embedding, linear, norm
from worker.modeling.calibration import Inputs, record
from worker.modeling.regression import fit_norm, principal_directions, ridge_regression
from worker.modeling.selection import Selection

_READ_RIDGE = 1e-3
_WRITE_RIDGE = 1e-2


@torch.no_grad()
def reconstructing_maps(
    teacher: nn.Module,
    student: nn.Module,
    card: EncoderCard,
    selection: Selection,
    batches: Sequence[Inputs],
    *,
    on_layer: Callable[[int], None] = lambda _layer: None,
) -> InitialMaps:
    """Solve for the maps, and leave the student folded from them, biases, norms and head fitted as well.

    Args:
        teacher: the network reconstructed.
        student: a network of the planned shape; every parameter of it is written.
        card: the teacher's layout.
        selection: layers, heads and neurons that the student keeps.
        batches: text to reconstruct the teacher on.
        on_layer: told of each student layer that is about to be solved; may raise to stop.

    Returns:
        Maps whose folded weights are those of the student.
    """
    return _Reconstruction(teacher, student, card, selection, batches).solve(on_layer)


class _Reconstruction:
    """One run up the layers: what the teacher does, and the student as far as it stands."""

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        card: EncoderCard,
        selection: Selection,
        batches: Sequence[Inputs],
    ) -> None:
        self._anatomy = ANATOMIES[card.architecture]
        self._teacher, self._student, self._card = teacher, student, card
        self._selection, self._batches = selection, batches
        sources = selection.layers
        below = [source - 1 for source in sources if source > 0]
        norms = {
            self._anatomy.embedding_norm,
            *(self._anatomy.part_name(layer, "ffn_norm") for layer in {*sources, *below}),
            *(self._anatomy.part_name(layer, "attention_norm") for layer in sources),
        }
        self._target = record(teacher, batches, before=sorted(norms), after=sorted(norms))
        self._write = self._stream_basis()  # (d, D)
        self._matrices: dict[Place, Maps] = {}

    def solve(self, on_layer: Callable[[int], None]) -> InitialMaps:
        stream = self._start_embeddings()
        for layer, source in enumerate(self._selection.layers):
            on_layer(layer)
            stream = self._solve_attention(layer, source, stream)
            stream = self._solve_feed_forward(layer, source, stream)
        self._fit_head()
        return InitialMaps(self._matrices, embeddings=self._write.T.contiguous())

    def _stream_basis(self) -> Tensor:
        """Principal directions of the stream where student layers begin and end, weighing alike."""
        places = [self._anatomy.embedding_norm]
        places += [self._anatomy.part_name(source, "ffn_norm") for source in self._selection.layers]
        streams = []
        for place in places:
            centred = self._target[f"{place} >"] - self._target[f"{place} >"].mean(1, keepdim=True)
            centred = centred - centred.mean(0)
            streams.append(centred / centred.square().sum(1).mean().sqrt())
        width = norm(self._student, self._anatomy.embedding_norm).weight.shape[0]
        directions = principal_directions(torch.cat(streams), width)  # (D, d)
        return (directions - directions.mean(0)).T.contiguous()  # a layer norm takes the mean away

    def _start_embeddings(self) -> Tensor:
        for name in self._anatomy.embeddings:
            table = embedding(self._teacher, name).weight
            embedding(self._student, name).weight.copy_(table @ self._write.T)
        name = self._anatomy.embedding_norm
        return self._fit_norm(name, name, self._student_value(before=name))

    def _solve_attention(self, layer: int, source: int, stream: Tensor) -> Tensor:
        anatomy = self._anatomy
        below = anatomy.part_name(source - 1, "ffn_norm") if source else anatomy.embedding_norm
        read, offset = ridge_regression(stream, self._target[f"{below} >"], ridge=_READ_RIDGE)
        heads = head_selector(self._selection, layer, self._card.shape.head_dim)  # (h, j, k)
        temperature = (heads.shape[1] / heads.shape[2]) ** 0.5
        for role in ("query", "key", "value"):
            rows = temperature * heads if role == "query" else heads
            self._read(layer, role, rows, read, offset)
        attention, after = "attention_output", anatomy.part_name(source, "attention_norm")
        context = self._student_value(before=anatomy.part_name(layer, attention))
        goal = self._target[f"> {after}"] @ self._write.T - stream
        wanted, bias = ridge_regression(context, goal, ridge=_WRITE_RIDGE)
        weight = kept_weight(self._teacher, self._card, self._selection, layer, attention)
        columns = heads.mT.contiguous()
        rows = _nearest_rows(self._write, map_columns(weight, columns), wanted)
        self._place(layer, attention, Maps(weight, rows, columns), bias)
        return self._fit_norm(
            anatomy.part_name(layer, "attention_norm"), after, stream + context @ wanted.T + bias
        )

    def _solve_feed_forward(self, layer: int, source: int, stream: Tensor) -> Tensor:
        anatomy = self._anatomy
        below, after = (anatomy.part_name(source, role) for role in ("attention_norm", "ffn_norm"))
        read, offset = ridge_regression(stream, self._target[f"{below} >"], ridge=_READ_RIDGE)
        neurons = selector(self._selection.neurons[layer], self._card.shape.ffn)  # (f, F)
        self._read(layer, "ffn_in", neurons, read, offset)
        inner = self._student_value(before=anatomy.part_name(layer, "ffn_out"))
        goal = self._target[f"> {after}"] @ self._write.T - stream
        wanted, bias = ridge_regression(inner, goal, ridge=_WRITE_RIDGE)
        weight = kept_weight(self._teacher, self._card, self._selection, layer, "ffn_out")
        columns = _nearest_columns(map_rows(self._write, weight), neurons.T, wanted)
        self._place(layer, "ffn_out", Maps(weight, self._write.clone(), columns), bias)
        return self._fit_norm(anatomy.part_name(layer, "ffn_norm"), after, stream + inner @ wanted.T + bias)

    def _fit_head(self) -> None:
        """Read the teacher's features from the student's, and its logits from the head's hidden layer."""
        head_t, head_s = self._anatomy.head_of(self._teacher), self._anatomy.head_of(self._student)
        if head_s.norm is not None:
            return self._fit_word_head(head_t, head_s)
        if head_s.dense is not None:
            self._fit_dense(head_t, head_s)
        said = record(self._teacher, self._batches, after=[head_t.output])[f"{head_t.output} >"]
        weight, bias = ridge_regression(self._student_value(before=head_s.output), said, ridge=_WRITE_RIDGE)
        output_s = linear(self._student, head_s.output)
        output_s.weight.copy_(weight)
        output_s.bias.copy_(bias)
        return None

    def _fit_dense(self, head_t: HeadParts, head_s: HeadParts) -> None:
        """The dense layer, of the features that tell the teacher's outputs apart."""
        assert head_t.dense is not None
        assert head_s.dense is not None
        dense_t, dense_s = linear(self._teacher, head_t.dense), linear(self._student, head_s.dense)
        output_t = linear(self._teacher, head_t.output)
        features = record(self._teacher, self._batches, before=[head_t.dense])[f"> {head_t.dense}"]
        read, offset = ridge_regression(
            self._student_value(before=head_s.dense), features, ridge=_WRITE_RIDGE
        )
        several = output_t.out_features > 1
        spread = output_t.weight - output_t.weight.mean(0) if several else output_t.weight
        kept = spread.abs().sum(0).topk(dense_s.out_features).indices.sort().values
        dense_s.weight.copy_(dense_t.weight[kept] @ read)
        dense_s.bias.copy_(dense_t.weight[kept] @ offset + dense_t.bias[kept])

    def _fit_word_head(self, head_t: HeadParts, head_s: HeadParts) -> None:
        """What meets the word table, brought to where the student's table is read best.

        The teacher's logits are E h, the student's E R h': h' is to come near h on the student's directions.
        The dense layer reads what the teacher's reads; the norm, after the activation, is fitted.
        """
        assert head_t.dense is not None
        assert head_t.norm is not None
        assert head_s.dense is not None
        assert head_s.norm is not None
        values = record(self._teacher, self._batches, before=[head_t.dense], after=[head_t.norm])
        read, offset = ridge_regression(
            self._student_value(before=head_s.dense), values[f"> {head_t.dense}"], ridge=_WRITE_RIDGE
        )
        dense_t, dense_s = linear(self._teacher, head_t.dense), linear(self._student, head_s.dense)
        rows = self._write  # (d, D)
        dense_s.weight.copy_(rows @ dense_t.weight @ read)
        dense_s.bias.copy_(rows @ (dense_t.weight @ offset + dense_t.bias))
        norm_s = norm(self._student, head_s.norm)
        goal = values[f"{head_t.norm} >"] @ self._write.T
        gain, shift = fit_norm(self._student_value(before=head_s.norm), goal, eps=norm_s.eps)
        norm_s.weight.copy_(gain)
        norm_s.bias.copy_(shift)
        linear(self._student, head_s.output).bias.copy_(linear(self._teacher, head_t.output).bias)

    def _read(self, layer: int, role: str, rows: Tensor, read: Tensor, offset: Tensor) -> None:
        """Place a matrix that reads the stream: the teacher's, on what the student has in its place."""
        weight = kept_weight(self._teacher, self._card, self._selection, layer, role)
        source = self._anatomy.linear(self._teacher, self._selection.layers[layer], role)
        bias = source.bias if role == "ffn_in" else self._by_kept_head(source.bias, layer)
        moved = weight @ offset + bias
        self._place(layer, role, Maps(weight, rows, read), map_rows(rows, moved[:, None])[:, 0])

    def _by_kept_head(self, bias: Tensor, layer: int) -> Tensor:
        return bias.view(-1, self._card.shape.head_dim)[self._selection.heads[layer]].flatten()  # (h k,)

    def _place(self, layer: int, role: str, maps: Maps, bias: Tensor) -> None:
        module = self._anatomy.linear(self._student, layer, role)
        module.weight.copy_(map_columns(map_rows(maps.rows, maps.weight), maps.columns))
        module.bias.copy_(bias)
        self._matrices[layer, role] = maps

    def _fit_norm(self, name: str, teacher_name: str, inputs: Tensor) -> Tensor:
        """Fit a norm of the student to the teacher's stream after its own; returns the student's stream."""
        module = norm(self._student, name)
        gain, shift = fit_norm(inputs, self._target[f"{teacher_name} >"] @ self._write.T, eps=module.eps)
        module.weight.copy_(gain)
        module.bias.copy_(shift)
        normed: Tensor = module(inputs)
        return normed

    def _student_value(self, *, before: str) -> Tensor:
        return record(self._student, self._batches, before=[before])[f"> {before}"]


def _nearest_rows(rows: Tensor, mapped: Tensor, wanted: Tensor) -> Tensor:
    """The L nearest to ``rows`` with L M = ``wanted``, for M = W_t R of full column rank."""
    return rows + _least_solution(mapped.T, (wanted - rows @ mapped).T).T


def _nearest_columns(mapped: Tensor, columns: Tensor, wanted: Tensor) -> Tensor:
    """The R nearest to ``columns`` with M R = ``wanted``, for M = L W_t of full row rank."""
    return columns + _least_solution(mapped, wanted - mapped @ columns)


def _least_solution(matrix: Tensor, right: Tensor) -> Tensor:
    """The smallest X with A X = B."""
    # gelsd also stands rank deficiency, but exists on the CPU alone.
    driver = "gelsd" if matrix.device.type == "cpu" else "gels"
    solution: Tensor = torch.linalg.lstsq(matrix.double(), right.double(), driver=driver).solution
    return solution.to(right.dtype)
