"""Fields of which a row has several entries: their vector is the mean of the entries'."""

import torch
import torch.nn.functional as F
from torch import Tensor

from pfmsm_lite.embedding import Embedding
from pfmsm_lite.scenario import Scenario


class BagEmbedding(Embedding):
    """One table, where a field has one column of ids or, as a bag, several; −1 is no entry.

    offset [C] where the entries of column c's field start;  field [C] which field that is
    """

    field: Tensor

    def forward(self, categorical: Tensor) -> Tensor:
        """[B, C] ids within each column's field → [B, F * K], the fields' vectors side by side."""
        # vectors of all columns, zero where there is no entry: [B, C, K]
        there = (categorical >= 0).unsqueeze(2).float()
        ids = (categorical + self.offset).clamp(min=0)
        vectors = F.embedding(ids, self.weight, sparse=self.sparse) * there
        # the mean over the columns of a field: [B, F, K]
        fields = int(self.field[-1]) + 1
        count = there.new_zeros(len(ids), fields, 1).index_add(1, self.field, there)
        total = vectors.new_zeros(len(ids), fields, vectors.shape[2]).index_add(1, self.field, vectors)
        return (total / count.clamp(min=1)).flatten(1)


def read_bags(embedding: Embedding, scenario: Scenario) -> None:
    """From now on the embedding takes several columns of ids for the scenario's bags."""
    columns = torch.tensor([scenario.bags.get(name, 1) for name in scenario.fields])
    field = torch.arange(len(columns)).repeat_interleave(columns)
    embedding.__class__ = BagEmbedding
    embedding.register_buffer("field", field, persistent=False)
    embedding.offset = embedding.offset[field]
