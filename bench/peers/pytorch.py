# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
#
# PyTorch on the CPU. Mixtures as transformers run them: "torch" loops over the experts
# that have rows and adds with index_add_; "torch-grouped" sorts the rows and multiplies
# with grouped_mm. Weights are [E,N,K], gate and up in one.
import numpy as np
import torch
import torch.nn.functional as F

from .. import cells, networks

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}


class Peer:
    def prepare(self, job):
        torch.set_num_threads(job["threads"])
        torch.set_grad_enabled(False)
        self.dtype = DTYPES[job["precision"]]
        if job["kind"] == "moe":
            self.layer = cells.LAYERS[job["layer"]]
            self._load_experts(networks.moe_weights(self.layer))
            grouped = job["system"] == "torch-grouped"
            self.forward = self._grouped if grouped else self._loop
        else:
            weights = networks.chain_weights(cells.CHAINS[job["layer"]])
            self.model = _chain(weights)
            if job["system"] == "torch-onednn":
                from torch.utils import mkldnn

                self.model = mkldnn.to_mkldnn(self.model)
            self.forward = self.model

    def _tensor(self, array):
        return torch.from_numpy(np.ascontiguousarray(array)).to(self.dtype)

    def _load_experts(self, weights):
        first = [weights.pop(n) for n in ("gate", "up") if n in weights]
        experts, dim, hidden = first[0].shape
        self.first = torch.empty(experts, len(first) * hidden, dim, dtype=self.dtype)
        for i, matrix in enumerate(first):
            rows = self.first[:, i * hidden : (i + 1) * hidden]
            rows.copy_(torch.from_numpy(matrix).transpose(1, 2))
        down = torch.from_numpy(weights.pop("down"))
        self.second = down.transpose(1, 2).to(self.dtype).contiguous()
        self.router = self._tensor(weights["router"].T)

    def feed(self, arrays):
        self.inputs = [self._tensor(x) for x in arrays]

    def run(self, index):
        return self.forward(self.inputs[index])

    def array(self, result):
        return result.float().numpy()

    def version(self):
        return torch.__version__.partition("+")[0]

    def _route(self, x):
        scores = torch.softmax(F.linear(x, self.router), -1, dtype=torch.float32)
        weights, chosen = torch.topk(scores, self.layer.top_k)
        weights /= weights.sum(-1, keepdim=True)
        return weights.to(self.dtype), chosen

    def _activate(self, h):
        if self.layer.activation == "relu":
            return F.relu_(h)
        gate, up = h.chunk(2, -1)
        return F.silu(gate) * up

    def _loop(self, x):
        weights, chosen = self._route(x)
        result = torch.zeros_like(x)
        mask = F.one_hot(chosen, self.layer.experts).permute(2, 1, 0)
        for e in mask.sum((1, 2)).nonzero().flatten().tolist():
            rank, token = torch.where(mask[e])
            h = self._activate(F.linear(x[token], self.first[e]))
            y = F.linear(h, self.second[e]) * weights[token, rank, None]
            result.index_add_(0, token, y)
        return result

    def _grouped(self, x):
        weights, chosen = self._route(x)
        order = torch.argsort(chosen.flatten(), stable=True)
        counts = torch.bincount(chosen.flatten(), minlength=self.layer.experts)
        ends = counts.cumsum(0).to(torch.int32)
        rows = x[order // self.layer.top_k]
        h = torch._grouped_mm(rows, self.first.transpose(1, 2), offs=ends)
        y = torch._grouped_mm(self._activate(h), self.second.transpose(1, 2), offs=ends)
        y = y * weights.flatten()[order, None]
        back = torch.empty_like(y)
        back[order] = y
        return back.view(len(x), self.layer.top_k, -1).sum(1)


def _chain(weights):
    modules = []
    for w in weights:
        for kind in ("up", "down"):
            matrix = torch.from_numpy(w[kind])
            linear = torch.nn.Linear(*matrix.shape)
            linear.weight.data = matrix.T.contiguous()
            linear.bias.data = torch.from_numpy(w[f"{kind}_bias"])
            modules.append(linear)
            if kind == "up":
                modules.append(torch.nn.ReLU(inplace=True))
    return torch.nn.Sequential(*modules).eval()
