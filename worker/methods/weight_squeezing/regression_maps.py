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
from torch import Tensor, nn

from app.domain.architectures import EncoderArchitecture
from worker.methods.weight_squeezing.initial_maps import InitialMaps, Maps, TableMap
from worker.methods.weight_squeezing.stack_pairs import Attention, StackView, attentions
from worker.networks.anatomy import ANATOMIES, MARIAN, HeadParts, Stack, embedding, linear, norm
from worker.numerics.least_squares import (
    fit_norm,
    nearest_rotation,
    principal_directions,
    ridge_regression,
)
from worker.parameterization.maps import map_columns, map_rows
from worker.transfer.activations import Inputs, capture_activations

OnLayer = Callable[[int], None]
"""Told of each student layer that is about to be solved; may raise to stop."""

_READ_RIDGE = 1e-3
_WRITE_RIDGE = 1e-2


@torch.no_grad()
def reconstructing_maps(
    teacher: nn.Module,
    student: nn.Module,
    architecture: EncoderArchitecture,
    views: Mapping[str, StackView],
    batches: Sequence[Inputs],
    *,
    like: nn.Module | None = None,
    on_layer: OnLayer = lambda _layer: None,
) -> InitialMaps:
    """Solve for an encoder's maps, and leave the student folded from them, all else of it fitted as well.

    Args:
        teacher: the network reconstructed.
        student: a network of the planned shape; every parameter of it is written.
        architecture: the teacher's layout.
        views: of the encoder.
        batches: text to reconstruct the teacher on.
        like: a network of the student's shape; given, the student's stream is turned towards its stream, so
            that their weights can be mixed.
        on_layer: told of progress.

    Returns:
        Maps whose folded weights are those of the student.
    """
    anatomy, view = ANATOMIES[architecture.family], views["encoder"]
    streams = _streams(teacher, anatomy.embedding_norm, view.stack, view.selection.layers, batches)
    directions = principal_directions(streams, view.student.hidden)  # (D, d)
    if like is not None:
        theirs = _streams(like, anatomy.embedding_norm, view.stack, range(view.student.layers), batches)
        directions = directions @ nearest_rotation(streams @ directions, theirs)
    write = (directions - directions.mean(0)).T.contiguous()  # (d, D); a layer norm takes the mean away
    tables = {}
    for name in anatomy.embeddings:
        table = embedding(teacher, name).weight
        embedding(student, name).weight.copy_(table @ write.T)
        tables[f"{name}.weight"] = TableMap(table, write.T.contiguous())
    solver = _Solver(teacher, student, view, batches, write)
    solver.fit_norm(anatomy.embedding_norm, anatomy.embedding_norm)
    matrices = solver.solve(on_layer)
    _HeadFit(teacher, student, anatomy.head_of(teacher), anatomy.head_of(student), batches, write).fit()
    return InitialMaps(matrices, tables, projection=write.T.contiguous())


@torch.no_grad()
def reconstructing_stack_maps(
    teacher: nn.Module,
    student: nn.Module,
    views: Mapping[str, StackView],
    tables: Mapping[str, TableMap],
    batches: Sequence[Inputs],
    *,
    on_layer: OnLayer = lambda _layer: None,
) -> InitialMaps:
    """The same for a translation model that starts sub-cloned: its tables and their positions stay."""
    matrices: dict[str, Maps] = {}
    for name, view in views.items():
        solver = _Solver(teacher, student, view, batches, view.residual_selector())
        before = 0 if name == "encoder" else views["encoder"].student.layers

        def on_stack_layer(layer: int, before: int = before) -> None:
            on_layer(before + layer)

        matrices |= solver.solve(on_stack_layer)
    return InitialMaps(matrices, tables, projection=views["decoder"].residual_selector().T)


def _streams(
    network: nn.Module, embedding_norm: str, stack: Stack, layers: Sequence[int], batches: Sequence[Inputs]
) -> Tensor:
    """The stream where some layers end, and before them all, one after the other, weighing alike: (K, D)."""
    places = [embedding_norm, *(stack.part_name(layer, "ffn_norm") for layer in layers)]
    values = capture_activations(network, batches, after=places)
    streams = []
    for place in places:
        centred = values[f"{place} >"] - values[f"{place} >"].mean(1, keepdim=True)
        centred = centred - centred.mean(0)
        streams.append(centred / centred.square().sum(1).mean().sqrt())
    return torch.cat(streams)


class _Solver:
    """One run up a list of layers: what the teacher does, and the student as far as it stands."""

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        view: StackView,
        batches: Sequence[Inputs],
        write: Tensor,
    ) -> None:
        self._teacher, self._student, self._view = teacher, student, view
        self._batches, self._write = batches, write  # (d, D)
        self._matrices: dict[str, Maps] = {}
        self._target = _recorded(teacher, view.stack, view.selection.layers, batches)

    def solve(self, on_layer: OnLayer) -> dict[str, Maps]:
        """Write every matrix, bias and norm of the layers; the maps by parameter."""
        stream = self._student_value(self._part(0, "query"))
        for layer in range(self._view.student.layers):
            on_layer(layer)
            for attention in attentions(self._view.stack):
                stream = self._solve_attention(layer, attention, stream)
            stream = self._solve_feed_forward(layer, stream)
        return self._matrices

    def fit_norm(self, name: str, teacher_name: str, inputs: Tensor | None = None) -> Tensor:
        """Fit a norm of the student to the teacher's stream after its own; returns the student's stream."""
        module = norm(self._student, name)
        inputs = self._student_value(name) if inputs is None else inputs
        after = f"{teacher_name} >"
        if after not in self._target:
            self._target |= capture_activations(self._teacher, self._batches, after=[teacher_name])
        gain, shift = fit_norm(inputs, self._target[after] @ self._write.T, eps=module.eps)
        module.weight.copy_(gain)
        module.bias.copy_(shift)
        normed: Tensor = module(inputs)
        return normed

    def _solve_attention(self, layer: int, attention: Attention, stream: Tensor) -> Tensor:
        view = self._view
        asked, memory = self._reads(layer, attention, stream)
        heads = view.head_selector(layer, attention)  # (h, j, k)
        temperature = (heads.shape[1] / heads.shape[2]) ** 0.5
        self._read(layer, attention.query, attention, temperature * heads, asked)
        self._read(layer, attention.key, attention, heads, memory)
        self._read(layer, attention.value, attention, heads, memory)
        weight = view.kept_weight(self._teacher, layer, attention.output, attention)
        columns = heads.mT.contiguous()
        context = self._student_value(self._part(layer, attention.output))
        wanted, bias = self._wanted(layer, attention.norm, context, stream)
        rows = _nearest_rows(self._write, map_columns(weight, columns), wanted)
        self._place(layer, attention.output, Maps(weight, rows, columns), bias)
        return self._fit_layer_norm(layer, attention.norm, stream + context @ wanted.T + bias)

    def _solve_feed_forward(self, layer: int, stream: Tensor) -> Tensor:
        view = self._view
        neurons = view.neuron_selector(layer)  # (f, F)
        self._read(layer, "ffn_in", None, neurons, self._reading(layer, "ffn_in", stream))
        inner = self._student_value(self._part(layer, "ffn_out"))
        wanted, bias = self._wanted(layer, "ffn_norm", inner, stream)
        weight = view.weight(self._teacher, layer, "ffn_out")
        columns = _nearest_columns(map_rows(self._write, weight), neurons.T, wanted)
        self._place(layer, "ffn_out", Maps(weight, self._write.clone(), columns), bias)
        return self._fit_layer_norm(layer, "ffn_norm", stream + inner @ wanted.T + bias)

    def _reads(
        self, layer: int, attention: Attention, stream: Tensor
    ) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """What the teacher's queries, and its keys and values, read: regressions on what the student has."""
        asked = self._reading(layer, attention.query, stream)
        if not attention.reads_encoder:
            return asked, asked
        states = []
        for network in (self._student, self._teacher):
            last = MARIAN.encoder.part_name(_depth(network, MARIAN.encoder) - 1, "ffn_norm")
            states.append(capture_activations(network, self._batches, after=[last])[f"{last} >"])
        return asked, ridge_regression(states[0], states[1], ridge=_READ_RIDGE)

    def _reading(self, layer: int, role: str, stream: Tensor) -> tuple[Tensor, Tensor]:
        place = self._view.stack.part_name(self._view.selection.layers[layer], role)
        return ridge_regression(stream, self._target[f"> {place}"], ridge=_READ_RIDGE)

    def _read(
        self,
        layer: int,
        role: str,
        attention: Attention | None,
        rows: Tensor,
        reading: tuple[Tensor, Tensor],
    ) -> None:
        """Place a matrix that reads the stream: the teacher's, on what the student has in its place."""
        view, (read, offset) = self._view, reading
        bias: Tensor = view.stack.linear(self._teacher, view.selection.layers[layer], role).bias
        if attention is None:
            weight = view.weight(self._teacher, layer, role)
        else:
            weight = view.kept_weight(self._teacher, layer, role, attention)
            bias = bias[view.kept_heads(layer, attention)]
        moved = weight @ offset + bias
        self._place(layer, role, Maps(weight, rows, read), map_rows(rows, moved[:, None])[:, 0])

    def _wanted(self, layer: int, norm_role: str, values: Tensor, stream: Tensor) -> tuple[Tensor, Tensor]:
        """The matrix and bias that write what the teacher's stream has and the student's lacks."""
        after = self._view.stack.part_name(self._view.selection.layers[layer], norm_role)
        goal = self._target[f"> {after}"] @ self._write.T - stream
        return ridge_regression(values, goal, ridge=_WRITE_RIDGE)

    def _fit_layer_norm(self, layer: int, role: str, inputs: Tensor) -> Tensor:
        source = self._view.stack.part_name(self._view.selection.layers[layer], role)
        return self.fit_norm(self._part(layer, role), source, inputs)

    def _place(self, layer: int, role: str, maps: Maps, bias: Tensor) -> None:
        module = self._view.stack.linear(self._student, layer, role)
        module.weight.copy_(map_columns(map_rows(maps.rows, maps.weight), maps.columns))
        module.bias.copy_(bias)
        self._matrices[self._view.name(layer, role)] = maps

    def _part(self, layer: int, role: str) -> str:
        return self._view.stack.part_name(layer, role)

    def _student_value(self, before: str) -> Tensor:
        return capture_activations(self._student, self._batches, before=[before])[f"> {before}"]


class _HeadFit:
    """Reads the teacher's features from the student's, and its logits from the head's hidden layer."""

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        head_t: HeadParts,
        head_s: HeadParts,
        batches: Sequence[Inputs],
        write: Tensor,
    ) -> None:
        self._teacher, self._student = teacher, student
        self._head_t, self._head_s = head_t, head_s
        self._batches, self._write = batches, write  # (d, D)

    def fit(self) -> None:
        head_t, head_s = self._head_t, self._head_s
        if head_s.norm is not None:
            return self._fit_word_head()
        if head_s.dense is not None:
            self._fit_dense()
        said = capture_activations(self._teacher, self._batches, after=[head_t.output])[f"{head_t.output} >"]
        weight, bias = ridge_regression(self._student_value(head_s.output), said, ridge=_WRITE_RIDGE)
        output_s = linear(self._student, head_s.output)
        output_s.weight.copy_(weight)
        output_s.bias.copy_(bias)
        return None

    def _fit_dense(self) -> None:
        """The dense layer, of the features that tell the teacher's outputs apart."""
        dense_t, dense_s, read, offset = self._dense_reading()
        output_t = linear(self._teacher, self._head_t.output)
        several = output_t.out_features > 1
        spread = output_t.weight - output_t.weight.mean(0) if several else output_t.weight
        kept = spread.abs().sum(0).topk(dense_s.out_features).indices.sort().values
        dense_s.weight.copy_(dense_t.weight[kept] @ read)
        dense_s.bias.copy_(dense_t.weight[kept] @ offset + dense_t.bias[kept])

    def _fit_word_head(self) -> None:
        """What meets the word table, brought to where the student's table is read best.

        The teacher's logits are E h, the student's E R h': h' is to come near h on the student's directions.
        The dense layer reads what the teacher's reads; the norm, after the activation, is fitted.
        """
        dense_t, dense_s, read, offset = self._dense_reading()
        assert self._head_t.norm is not None
        assert self._head_s.norm is not None
        rows = self._write  # (d, D)
        dense_s.weight.copy_(rows @ dense_t.weight @ read)
        dense_s.bias.copy_(rows @ (dense_t.weight @ offset + dense_t.bias))
        said = capture_activations(self._teacher, self._batches, after=[self._head_t.norm])[
            f"{self._head_t.norm} >"
        ]
        norm_s = norm(self._student, self._head_s.norm)
        gain, shift = fit_norm(self._student_value(self._head_s.norm), said @ rows.T, eps=norm_s.eps)
        norm_s.weight.copy_(gain)
        norm_s.bias.copy_(shift)
        output_t, output_s = (
            linear(network, head.output)
            for network, head in ((self._teacher, self._head_t), (self._student, self._head_s))
        )
        output_s.bias.copy_(output_t.bias)

    def _dense_reading(self) -> tuple[nn.Linear, nn.Linear, Tensor, Tensor]:
        """Both dense layers, and the regression of what the teacher's reads on what the student has."""
        name_t, name_s = self._head_t.dense, self._head_s.dense
        assert name_t is not None
        assert name_s is not None
        features = capture_activations(self._teacher, self._batches, before=[name_t])[f"> {name_t}"]
        read, offset = ridge_regression(self._student_value(name_s), features, ridge=_WRITE_RIDGE)
        return linear(self._teacher, name_t), linear(self._student, name_s), read, offset

    def _student_value(self, before: str) -> Tensor:
        return capture_activations(self._student, self._batches, before=[before])[f"> {before}"]


def _recorded(
    network: nn.Module, stack: Stack, layers: Sequence[int], batches: Sequence[Inputs]
) -> dict[str, Tensor]:
    """What a teacher's layers read, and its stream before and after their norms."""
    kinds = attentions(stack)
    reads = [*(attention.query for attention in kinds), "ffn_in"]
    norms = [*(attention.norm for attention in kinds), "ffn_norm"]
    around = [stack.part_name(layer, role) for layer in layers for role in norms]
    read = [stack.part_name(layer, role) for layer in layers for role in reads]
    return capture_activations(network, batches, before=[*read, *around], after=around)


def _depth(network: nn.Module, stack: Stack) -> int:
    layers = network.get_submodule(stack.layers)
    assert isinstance(layers, nn.ModuleList)
    return len(layers)


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
