"""Maps that start where the student's activations come closest to the teacher's, layer by layer.

An encoder's residual stream is the teacher's on its principal directions; a translation model's, to which
positions add sines of fixed frequencies, keeps some of the teacher's dimensions. Going up from the
embeddings, each map that reads the stream is the regression of what the teacher reads there on what the
student has there, and each map that writes it is changed by the least that makes the student's stream the
teacher's. A student layer also answers for the teacher layers that are left out below it. The regressions
have closed forms, so that a few thousand texts take seconds; the idea is that of SP3 and SliceGPT, taken
further by the refits.

Shapes: K tokens, D and d the teacher's and student's width, F and f their ffn, h heads of k and j dimensions.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from worker.methods.weight_squeezing.head_regression import HeadRegression
from worker.methods.weight_squeezing.initial_maps import (
    InitialMaps,
    Maps,
    TableMap,
    layers_by_matrix,
    whole_tables,
)
from worker.methods.weight_squeezing.stack_pairs import StackPair
from worker.networks.layer_views import AttentionView, LayerView
from worker.networks.parts import Matrix, Norm, Part
from worker.networks.views import EncoderView, StackView
from worker.numerics.least_squares import (
    nearest_rotation,
    principal_directions,
    ridge_regression,
)
from worker.parameterization.maps import map_columns, map_rows
from worker.transfer.activations import Activations, Inputs, capture_activations
from worker.transfer.subcloning import copy_embeddings, copy_relative_bias, map_distances

OnLayer = Callable[[int], None]
"""Called before each student layer is solved; may raise to stop."""

_READ_RIDGE = 1e-3
_WRITE_RIDGE = 1e-2


@torch.no_grad()
def regression_maps(
    teacher: EncoderView,
    student: EncoderView,
    pair: StackPair,
    batches: Sequence[Inputs],
    *,
    like: EncoderView | None = None,
    on_layer: OnLayer = lambda _layer: None,
) -> InitialMaps:
    """Solve for an encoder's maps, and leave the student folded from them, all else of it fitted as well.

    Args:
        teacher: the network reconstructed.
        student: a network of the planned shape; every parameter of it is written.
        pair: the two, and what one keeps of the other.
        batches: text to reconstruct the teacher on.
        like: a network of the student's shape; given, the student's stream is turned towards its stream, so
            that their weights can be mixed.
        on_layer: called with the progress.

    Returns:
        Maps whose folded weights are those of the student.
    """
    start, *ends = teacher.stream_parts
    parts = [start, *(ends[layer] for layer in pair.selection.layers)]
    streams = _streams(teacher, parts, batches)
    directions = principal_directions(streams, student.shape.hidden)  # (D, d)
    if like is not None:
        theirs = _streams(like, like.stream_parts, batches)
        directions = directions @ nearest_rotation(streams @ directions, theirs)
    write = (directions - directions.mean(0)).T.contiguous()  # (d, D); a layer norm takes the mean away
    copy_relative_bias(teacher, student, pair.selection)
    map_distances(teacher, student, write)
    solver = _Solver(pair, batches, write, memory=None)
    tables = {}
    if teacher.projection is not None and student.projection is not None:
        tables = whole_tables(teacher)
        copy_embeddings(teacher, student, pair.selection.residual)
        bias = teacher.projection.bias
        student.projection.write(write @ teacher.projection.weight, None if bias is None else write @ bias)
    else:
        for source, target in zip(teacher.embeddings, student.embeddings, strict=True):
            target.weight.copy_(source.weight @ write.T)
            tables[target.weight_name] = TableMap(source.weight, write.T.contiguous())
        solver.fit_norm(teacher.embedding_norm, student.embedding_norm)
    matrices = solver.solve(on_layer)
    if teacher.final_norm is not None and student.final_norm is not None:
        solver.fit_norm(teacher.final_norm, student.final_norm)
    HeadRegression(teacher, student, batches, write, ridge=_WRITE_RIDGE).fit()
    return InitialMaps(matrices, tables, write.T.contiguous(), layers_by_matrix([pair]))


@torch.no_grad()
def regression_stack_maps(
    pairs: Sequence[StackPair],
    tables: Mapping[str, TableMap],
    batches: Sequence[Inputs],
    *,
    on_layer: OnLayer = lambda _layer: None,
) -> InitialMaps:
    """The same for a translation model that starts sub-cloned: its tables and their positions stay."""
    matrices: dict[str, Maps] = {}
    before = 0
    for pair in pairs:
        solver = _Solver(pair, batches, pair.residual_selector(), memory=(pairs[0].teacher, pairs[0].student))

        def on_stack_layer(layer: int, before: int = before) -> None:
            on_layer(before + layer)

        matrices |= solver.solve(on_stack_layer)
        before += len(pair.student.layers)
    projection = pairs[-1].residual_selector().T
    return InitialMaps(matrices, tables, projection, layers_by_matrix(pairs))


def _streams(view: EncoderView, parts: Sequence[Part], batches: Sequence[Inputs]) -> Tensor:
    """The stream after some parts, one after the other, weighing alike: (K, D)."""
    values = capture_activations(view.network, batches, after=parts)
    streams = []
    for part in parts:
        stream = values.output_of(part)
        centred = stream - stream.mean(1, keepdim=True)
        centred = centred - centred.mean(0)
        streams.append(centred / centred.square().sum(1).mean().sqrt())
    return torch.cat(streams)


class _Solver:
    """One run up a list of layers: what the teacher does, and the student as far as it stands."""

    def __init__(
        self,
        pair: StackPair,
        batches: Sequence[Inputs],
        write: Tensor,
        *,
        memory: tuple[StackView, StackView] | None,
    ) -> None:
        """Begin below a student's first layer.

        Args:
            pair: whose layers are solved.
            batches: text to reconstruct the teacher on.
            write: (d, D), from the teacher's stream to the student's.
            memory: the teacher's and the student's encoder, of a decoder that reads it.
        """
        self._pair, self._batches, self._write = pair, batches, write
        self._memory = memory
        self._matrices: dict[str, Maps] = {}
        self._target = _recorded(pair, batches)

    def solve(self, on_layer: OnLayer) -> dict[str, Maps]:
        """Write every matrix, bias and norm of the layers; the maps by parameter."""
        first = self._pair.student.layers[0].attention
        stream = self._student_input(self._preceding(first.norm) or first.query)
        for layer, source, target in self._pair.layers:
            on_layer(layer)
            for theirs, ours in zip(source.attentions, target.attentions, strict=True):
                goal = self._target.input_of(self._preceding(source.ffn_norm) or _there(theirs.norm))
                stream = self._solve_attention(layer, theirs, ours, stream, goal)
            is_sum = self._pair.teacher.norms_precede
            goal = self._target.output_of(source.whole) if is_sum else self._target.input_of(source.ffn_norm)
            stream = self._solve_feed_forward(layer, source, target, stream, goal)
        return self._matrices

    def fit_norm(self, source: Norm, target: Norm) -> None:
        """Fit a norm of the student that belongs to no layer to what the teacher's gives."""
        network = self._pair.teacher.network
        given = capture_activations(network, self._batches, after=[source]).output_of(source)
        target.fit(self._student_input(target), given @ self._write.T)

    def _preceding(self, norm: Norm | None) -> Norm | None:
        """The norm, if it precedes its block."""
        return norm if self._pair.teacher.norms_precede else None

    def _before(self, source: Norm | None, target: Norm | None, stream: Tensor) -> Tensor:
        """What a block of the student reads of its stream: past the norm, if one precedes it."""
        if source is None or target is None or not self._pair.teacher.norms_precede:
            return stream
        return target.fit(stream, self._target.output_of(source) @ self._write.T)

    def _after(self, source: Norm | None, target: Norm | None, summed: Tensor) -> Tensor:
        """The student's stream behind a block: past the norm, if one follows it."""
        if source is None or target is None or self._pair.teacher.norms_precede:
            return summed
        return target.fit(summed, self._target.output_of(source) @ self._write.T)

    def _solve_attention(
        self, layer: int, source: AttentionView, target: AttentionView, stream: Tensor, goal: Tensor
    ) -> Tensor:
        asked = self._reading(source.query, self._before(source.norm, target.norm, stream))
        memory = self._memory_reading() if source.reads_encoder else asked
        heads = self._pair.head_selector(layer, source)  # (h, j, k)
        temperature = (heads.shape[1] / heads.shape[2]) ** 0.5
        self._read(layer, source.query, target.query, temperature * heads, asked)
        self._read(layer, source.key, target.key, heads, memory)
        self._read(layer, source.value, target.value, heads, memory)
        weight = self._pair.kept_weight(layer, source.output)
        columns = heads.mT.contiguous()
        context = self._student_input(target.output)
        wanted, bias = self._wanted(target.output, goal, context, stream)
        rows = _nearest_rows(self._write, map_columns(weight, columns), wanted)
        self._place(target.output, Maps(weight, rows, columns), bias)
        return self._after(source.norm, target.norm, stream + context @ wanted.T + bias)

    def _solve_feed_forward(
        self, layer: int, source: LayerView, target: LayerView, stream: Tensor, goal: Tensor
    ) -> Tensor:
        neurons = self._pair.neuron_selector(layer)  # (f, F)
        read = self._reading(source.ffn_in, self._before(source.ffn_norm, target.ffn_norm, stream))
        for theirs, ours in zip(source.ffn_readers, target.ffn_readers, strict=True):
            self._read(layer, theirs, ours, neurons, read)
        inner = self._student_input(target.ffn_out)
        wanted, bias = self._wanted(target.ffn_out, goal, inner, stream)
        weight = source.ffn_out.weight.detach()
        columns = _nearest_columns(map_rows(self._write, weight), neurons.T, wanted)
        self._place(target.ffn_out, Maps(weight, self._write.clone(), columns), bias)
        return self._after(source.ffn_norm, target.ffn_norm, stream + inner @ wanted.T + bias)

    def _reading(self, source: Matrix, stream: Tensor) -> tuple[Tensor, Tensor]:
        """What a teacher's matrix reads: a regression on the student's stream."""
        wanted, shifts = self._target.input_of(source), source.bias is not None
        return ridge_regression(stream, wanted, ridge=_READ_RIDGE, shifts=shifts)

    def _memory_reading(self) -> tuple[Tensor, Tensor]:
        """What a teacher's decoder reads of its encoder: a regression on what the student's says."""
        assert self._memory is not None
        said = []
        for stack in self._memory:
            last = stack.layers[-1].ffn_norm
            said.append(capture_activations(stack.network, self._batches, after=[last]).output_of(last))
        teacher, student = said
        return ridge_regression(student, teacher, ridge=_READ_RIDGE)

    def _read(
        self, layer: int, source: Matrix, target: Matrix, rows: Tensor, reading: tuple[Tensor, Tensor]
    ) -> None:
        """Place a matrix that reads the stream: the teacher's, on what the student has in its place."""
        read, offset = reading
        weight, bias = self._pair.kept_weight(layer, source), self._pair.kept_bias(layer, source)
        moved = weight @ offset + bias
        self._place(target, Maps(weight, rows, read), map_rows(rows, moved[:, None])[:, 0])

    def _wanted(self, writer: Matrix, goal: Tensor, values: Tensor, stream: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix and bias by which a writer adds what the student's stream lacks of the teacher's.

        Args:
            writer: of the student; without a bias that is 0.
            goal: the teacher's stream behind the block, (K, D).
            values: what the writer reads, (K, P).
            stream: the student's before the block, (K, d).
        """
        lacking, shifts = goal @ self._write.T - stream, writer.bias is not None
        return ridge_regression(values, lacking, ridge=_WRITE_RIDGE, shifts=shifts)

    def _place(self, target: Matrix, maps: Maps, bias: Tensor) -> None:
        target.write(map_columns(map_rows(maps.rows, maps.weight), maps.columns), bias)
        self._matrices[target.weight_name] = maps

    def _student_input(self, part: Part) -> Tensor:
        network = self._pair.student.network
        return capture_activations(network, self._batches, before=[part]).input_of(part)


def _recorded(pair: StackPair, batches: Sequence[Inputs]) -> Activations:
    """What a teacher's layers read, and its stream before and after their norms."""
    reads: list[Matrix] = []
    norms: list[Norm] = []
    ends: list[Part] = []
    for _, source, _ in pair.layers:
        reads += [*(attention.query for attention in source.attentions), source.ffn_in]
        norms += source.norms
        ends += [source.whole] if pair.teacher.norms_precede else []
    return capture_activations(pair.teacher.network, batches, before=[*reads, *norms], after=[*norms, *ends])


def _there(norm: Norm | None) -> Norm:
    """The norm behind a block, which each has where norms follow blocks."""
    assert norm is not None
    return norm


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
