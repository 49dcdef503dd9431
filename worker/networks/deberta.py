"""DeBERTa's attention, with no more distances than texts have.

That of transformers multiplies queries and keys with all distances of the table, 512 in most models, and
copies what is made of them for each text. Tokens of a text of T meet less than 2 T of them.

Shapes: B texts, h heads of width k, T tokens, D width, S distances to each side, R those that are met.
"""

import math

import torch
from torch import Tensor, nn
from transformers.models.deberta_v2.modeling_deberta_v2 import DisentangledSelfAttention


class NearAttention(DisentangledSelfAttention):
    """Computes what its base class does."""

    def disentangled_attention_bias(
        self,
        query_layer: Tensor,
        key_layer: Tensor,
        relative_pos: Tensor,
        rel_embeddings: Tensor,
        scale_factor: int,
    ) -> Tensor:
        """What distances add to the scores, (B h, T, T).

        Args:
            query_layer: (B h, T, k).
            key_layer: (B h, T, k).
            relative_pos: buckets of the distances from queries to keys, (1, T, T), none farther than they.
            rel_embeddings: (2 S, D).
            scale_factor: kinds of scores that are added up.
        """
        tokens, heads = query_layer.shape[1], self.num_attention_heads
        scale = math.sqrt(self.attention_head_size * scale_factor)

        def met_by(vectors: Tensor, project: nn.Module, places: Tensor) -> Tensor:
            """Products of (B h, T, k) with the distances at places, (T, T): (B, h, T, T)."""
            if torch.onnx.is_in_onnx_export():
                # What no text changes becomes a constant. As a batch of one it meets the weight as states do:
                # of a plain matrix it would be another product, with a weight of its own in the file.
                read, _ = self._near(project(rel_embeddings.unsqueeze(0)).squeeze(0), tokens)
            else:
                read = project(self._near(rel_embeddings, tokens)[0])
            by_head = read.view(-1, heads, self.attention_head_size).permute(1, 2, 0)  # (R, D) -> (h, k, R)
            products: Tensor = vectors.view(-1, heads, *vectors.shape[1:]) @ by_head  # (B, h, T, R)
            return products.gather(-1, places.expand(*products.shape[:2], -1, -1)) / scale

        reach = self._near(rel_embeddings, tokens)[1]
        added = []
        if "c2p" in self.pos_att_type:
            added.append(met_by(query_layer, self.key_proj, _places(relative_pos, reach)))
        if "p2c" in self.pos_att_type:
            added.append(met_by(key_layer, self.query_proj, _places(-relative_pos, reach)).transpose(-1, -2))
        return sum(added[1:], added[0]).flatten(0, 1)

    def _near(self, rows: Tensor, tokens: int) -> tuple[Tensor, int]:
        """Of 2 S rows those of distances below ``tokens``, and how many of them are to one side."""
        span = self.pos_ebd_size
        before, behind = rows[:span][-tokens:], rows[span:][:tokens]
        return torch.cat([before, behind]), before.shape[0]


def _places(distances: Tensor, reach: int) -> Tensor:
    return (distances + reach).clamp(0, 2 * reach - 1)


def attend_to_near_distances(network: nn.Module) -> None:
    """Let a network's layers compute as here, in place, if they are of the kind."""
    for module in network.modules():
        if type(module) is DisentangledSelfAttention and module.relative_attention and module.pos_att_type:
            module.__class__ = NearAttention
