"""Longstride's models in PyTorch, both ways: a run folder (or any folder with config.json and model.safetensors) as an nn.Module, and
an nn.Module's weights as such a folder again. Needs torch alone; with a GPU and torch 2.5 or newer, attention goes by FlexAttention.

    from longstride import load, save
    model = load("runs/text")                      # nn.Module; model.config is config.json
    logits = model(tokens)                         # [batch, n_ctx] of int64 -> [batch, n_ctx, vocab_size]: position i predicts tokens[i]
    save(model, "runs/from_torch")                 # `deno task sample runs/from_torch` reads it

    python3 longstride.py RUN [FILE]               # parameters; bits a byte of a file

Names of parameters are those on disk, so model.state_dict() is the state dict and load_state_dict takes one.
"""

import json
import math
import struct
import sys
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

DTYPES = {
    **{"I8": torch.int8, "I32": torch.int32, "I64": torch.int64},
    **{"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16},
}


def read_safetensors(path):
    """Tensors by name."""
    data = Path(path).read_bytes()
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    body = bytearray(data[8 + length :])

    def tensor(entry):
        begin, end = entry["data_offsets"]
        if begin == end:
            return torch.empty(entry["shape"], dtype=DTYPES[entry["dtype"]])
        dtype = DTYPES[entry["dtype"]]
        return torch.frombuffer(body, dtype=dtype, offset=begin, count=math.prod(entry["shape"])).reshape(entry["shape"]).clone()

    return {name: tensor(entry) for name, entry in header.items()}


def write_safetensors(path, tensors):
    """Writes f32 tensors in the order given."""
    header, parts, at = {}, [], 0
    for name, tensor in tensors.items():
        part = tensor.detach().to("cpu", torch.float32).contiguous().numpy().astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": list(tensor.shape), "data_offsets": [at, at + len(part)]}
        parts.append(part)
        at += len(part)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    Path(path).write_bytes(struct.pack("<Q", len(text)) + text + b"".join(parts))


def threefry(k0, k1, c0, c1):
    """Threefry-2x32-20 (Salmon et al. 2011): what BigBird's random blocks are drawn by."""
    mask, keys, x0, x1 = 0xFFFFFFFF, (k0, k1, k0 ^ k1 ^ 0x1BD11BDA), (c0 + k0) & 0xFFFFFFFF, (c1 + k1) & 0xFFFFFFFF
    for step in range(1, 6):
        for r in ((13, 15, 26, 6) if step % 2 else (17, 29, 16, 24)):
            x0 = (x0 + x1) & mask
            x1 = ((x1 << r | x1 >> (32 - r)) & mask) ^ x0
        x0, x1 = (x0 + keys[step % 3]) & mask, (x1 + keys[(step + 1) % 3] + step) & mask
    return x0, x1


def bigbird_blocks(config, n, layer, head, causal):
    block, window, count = config["block"], config.get("window", 1), -(-n // config["block"])
    blocks = []
    for q in range(count):
        last = q if causal else count - 1
        keys = set(range(max(0, q - window), min(last, q + window) + 1)) | set(range(min(config.get("globals", 1), last + 1)))
        if q < config.get("globals", 1):
            keys |= set(range(last + 1))
        most, draw = min(last + 1, len(keys) + config.get("random", 3)), 0
        while len(keys) < most:
            word = threefry(config.get("seed", 0), 0x40000 + layer, draw // 2, head * count + q)[draw % 2]
            keys.add(word * (last + 1) >> 32)
            draw += 1
        blocks.append(sorted(keys))
    return blocks


def attention_of(config, layer):
    """The patterns of a layer, of which head h has number h mod their count."""
    attention = config["attention"]
    if isinstance(attention, dict):
        attention = attention.get("layers", [attention])
    own = attention[layer % len(attention)]
    return own.get("heads", [own])


def memory_of(config):
    """Tokens of a window and memory tokens after it; (1, 0) of a model without."""
    for layer in range(config["n_layer"]):
        for a in attention_of(config, layer):
            if a.get("memory"):
                return a["stride"], a["memory"]
    return 1, 0


def start_of(i, strides):
    """Where the window of the first stride begins that i is in; windows begin anew where one of the next stride begins."""
    return i * 0 if not strides else i - (i - start_of(i, strides[1:])) % strides[0]


def attends(config, layer, n, heads):
    """The definition of each head's set (section 4): a function of head, query and key, as tensors that broadcast, to booleans."""
    patterns, places = attention_of(config, layer), {}
    sets = []
    for h in range(heads):
        a = patterns[h % len(patterns)]
        sets.append(head_set(a, layer, n, h, h // len(patterns), heads, places))

    def allowed(h, i, j):
        pairs = (h != h) & (i != i) & (j != j)
        for head, own in enumerate(sets):
            pairs = pairs | ((h == head) & own(i, j))
        return pairs

    return allowed


def head_set(a, layer, n, head, rank, heads, places):
    """The set of one head; rank is its place among those that have the pattern, places counts those that read the same columns."""
    pattern, integration, causal = a["pattern"], a.get("integration", "merged"), a.get("causal", True)
    strides, within = a.get("stride"), a.get("within")
    strides, memory = strides if isinstance(strides, list) else [strides], a.get("memory", 0)
    if memory:  # Windows have their memory tokens at their end, and those are what later windows read.
        strides = [strides[0] + memory]
    l, p, c = strides[0], len(strides) + 1, a.get("c", memory)
    factor = 0 if integration == "merged" else 1 + (layer if integration == "interleaved" else rank) % p

    def sub_block(key):
        place = places[key] = places.get(key, -1) + 1
        return place % ((memory or l) // c)

    def same(i, j, of):
        return start_of(i, of) == start_of(j, of)

    if pattern in ("bigbird", "blocks"):
        block, given = a["block"], a.get("blocks")
        table = torch.zeros(-(-n // block), -(-n // block), dtype=torch.bool)
        per_head = pattern == "blocks" and isinstance(given[0][0], list)
        for q, keys in enumerate(bigbird_blocks(a, n, layer, head, causal) if pattern == "bigbird" else given[head] if per_head else given):
            table[q, torch.tensor(keys)] = True
    elif pattern == "summary" or (pattern == "fixed" and factor != 1):
        sub = sub_block((l, c, (within or 0) if pattern == "summary" else factor if p > 2 else 0))

    def columns(i, j, own, larger, others):
        """Columns of the windows of own, which begin anew in those of larger; only of other windows than i's where asked."""
        # As far from their window's end as those of l.
        inside = j - start_of(j, [own, *larger]) - (own - l)
        keys = (inside >= l - c * (sub + 1)) & (inside < l - c * sub)
        return keys & ~same(i, j, [own, *larger]) & same(i, j, larger) if others else keys

    def pairs(i, j):
        far = (i - j).abs()
        if pattern == "dense":
            return (i == i) & (j == j)
        if pattern == "local" or (pattern == "strided" and factor == 1):
            return far <= l
        if pattern == "column":
            return (far % l == 0) & (far <= (within or n))
        if pattern == "strided":
            steps = [(far % s == 0) & (far <= (strides[at + 1] if at + 2 < p else n)) for at, s in enumerate(strides)]
            return steps[factor - 2] if factor else torch.stack([far <= l, *steps]).any(0)
        if pattern == "segment" or (pattern == "fixed" and factor == 1):
            return same(i, j, [l, within] if within else strides)
        if pattern == "summary":
            return columns(i, j, l, [within] if within else [], bool(within)) | (i == j)
        if pattern == "fixed":
            steps = [columns(i, j, s, strides[at + 1 :], p > 2) for at, s in enumerate(strides)]
            # Where a factor of columns stands alone, a row also sees itself.
            return steps[factor - 2] | (i == j) if factor else torch.stack([same(i, j, strides), *torch.broadcast_tensors(*steps, i == j)[:-1]]).any(0)
        if pattern == "longformer":
            return (far <= l) | (j < a.get("globals", 1)) | (i < a.get("globals", 1))
        return table.to(i.device)[i // block, j // block]

    return (lambda i, j: pairs(i, j) & (j <= i)) if causal else pairs


class Attention(nn.Module):
    def __init__(self, config, layer):
        super().__init__()
        d, d_qk = config["d_model"], config["d_qk"]
        self.config, self.layer, self.heads = config, layer, config["n_head"]
        self.norm = nn.LayerNorm(d)
        self.q, self.k, self.v, self.p = nn.Linear(d, d_qk), nn.Linear(d, d_qk), nn.Linear(d, d), nn.Linear(d, d)
        self.masks = {}

    def forward(self, h):
        batch, n, d = h.shape
        x = self.norm(h)
        q, k, v = (t.view(batch, n, self.heads, -1).transpose(1, 2) for t in (self.q(x), self.k(x), self.v(x)))
        allowed = attends(self.config, self.layer, n, self.heads)
        if h.is_cuda and hasattr(torch.nn, "attention") and hasattr(torch.nn.attention, "flex_attention"):
            from torch.nn.attention.flex_attention import create_block_mask, flex_attention

            if n not in self.masks:
                self.masks[n] = create_block_mask(lambda b, head, i, j: allowed(head, i, j), None, self.heads, n, n, device=h.device)
            o = flex_attention(q, k, v, block_mask=self.masks[n])
        else:
            if n not in self.masks:
                places = torch.arange(n, device=h.device)
                self.masks[n] = allowed(torch.arange(self.heads, device=h.device)[:, None, None], places[:, None], places[None, :])
            scores = (q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])).masked_fill(~self.masks[n], -math.inf)
            o = scores.softmax(-1) @ v
        return self.p(o.transpose(1, 2).reshape(batch, n, d))


class FeedForward(nn.Module):
    def __init__(self, config):
        super().__init__()
        self.norm = nn.LayerNorm(config["d_model"])
        self.w1, self.w2 = nn.Linear(config["d_model"], config["d_ff"]), nn.Linear(config["d_ff"], config["d_model"])

    def forward(self, h):
        x = self.w1(self.norm(h))
        return self.w2(x * torch.sigmoid(1.702 * x))


class Block(nn.Module):
    """Eqs. 9-14."""

    def __init__(self, config, layer):
        super().__init__()
        self.attn, self.ff, self.dropout = Attention(config, layer), FeedForward(config), nn.Dropout(config.get("dropout", 0))

    def forward(self, h):
        h = h + self.dropout(self.attn(h))
        return h + self.dropout(self.ff(h))


class SparseTransformer(nn.Module):
    def __init__(self, config):
        super().__init__()
        position, d, n = config["position"], config["d_model"], config["n_ctx"]
        if position["kind"] == "attention":
            stride = position["stride"]
            sizes, places = [-(-n // stride), min(n, stride)], [torch.arange(n) // stride, torch.arange(n) % stride]
        else:
            sizes, places, rest = position["shape"], [], torch.arange(n)
            for size in reversed(sizes):
                places.insert(0, rest % size)
                rest = rest // size
        self.config, self.places = config, places
        self.embed = nn.Module()
        self.memory = memory_of(config)
        self.embed.token = nn.Embedding(config["vocab_size"] + 1 + self.memory[1], d)
        self.embed.position = nn.ModuleList(nn.Embedding(size, d) for size in sizes)
        self.layers = nn.ModuleList(Block(config, layer) for layer in range(config["n_layer"]))
        self.norm = nn.LayerNorm(d)
        self.predicts = config.get("objective", "next") == "next"
        self.out = nn.Linear(d, 1 if config.get("objective") in ("squared", "logistic") else config["vocab_size"], bias=False)

    def forward(self, tokens):
        """
        [batch, n] of int64, n at most n_ctx -> [batch, n, vocab_size]. Position i sees the tokens before it and predicts tokens[:, i]. Of
        another objective it sees tokens[:, i] too, where vocab_size is a gap, and a model that scores gives [batch, n, 1].
        """
        n, (stride, count), start = tokens.shape[1], self.memory, torch.full_like(tokens[:, :1], self.config["vocab_size"])
        # Rows: the tokens, and after every window that others follow its memory tokens, at the place of its last token.
        between = lambda i: [(i - 1, k) for k in range(count if i > 0 and i % stride == 0 else 0)]
        rows = [row for i in range(n) for row in [*between(i), (i, None)]]
        of = torch.tensor([i for i, _ in rows], device=tokens.device)
        own = torch.tensor([-1 if k is None else k for _, k in rows], device=tokens.device)
        seen = torch.cat([start, tokens[:, :-1]], 1) if self.predicts else tokens
        h = self.embed.token(torch.where(own < 0, seen[:, of], self.config["vocab_size"] + 1 + own))
        for table, places in zip(self.embed.position, self.places):
            h = h + table(places.to(tokens.device)[of])
        for layer in self.layers:
            h = layer(h)
        return self.out(self.norm(h)[:, own < 0])


def dequantised(tensors):
    """Matrices of int8, as `export` makes them, as the f32 that they stand for: each row times its scale, which is then left out."""
    scales = {name: tensors[name + "_scale"].float() for name, tensor in tensors.items() if tensor.dtype == torch.int8}
    kept = {name: tensor for name, tensor in tensors.items() if name.removesuffix("_scale") not in scales or name in scales}
    return {name: tensor.float() * scales[name].view(-1, 1) if name in scales else tensor for name, tensor in kept.items()}


def load(folder):
    """The model of a folder, in f32. Folders of runs, those that `sample` takes and those that `export` makes are alike."""
    config = json.loads((Path(folder) / "config.json").read_text())
    model = SparseTransformer(config)
    model.load_state_dict(dequantised(read_safetensors(Path(folder) / "model.safetensors")))
    return model.eval()


def save(model, folder):
    """Writes config.json and model.safetensors. A state dict of another model with these names: load_state_dict it into one first."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    write_safetensors(Path(folder) / "model.safetensors", model.state_dict())
    (Path(folder) / "config.json").write_text(json.dumps(model.config, indent=2) + "\n")


def bits(model, tokens):
    """Mean bits a token over whole contexts, one after the other."""
    n, device = model.config["n_ctx"], next(model.parameters()).device
    rows = torch.as_tensor(tokens, dtype=torch.int64)[: len(tokens) // n * n].view(-1, n)
    with torch.no_grad():
        losses = [F.cross_entropy(model(row[None].to(device))[0], row.to(device)).item() for row in rows]
    return sum(losses) / len(losses) / math.log(2)


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    model = load(sys.argv[1])
    print(f"{sum(p.numel() for p in model.parameters()):,} parameters, {len(model.layers)} layers, context {model.config['n_ctx']}")
    if len(sys.argv) > 2:
        print(f"{bits(model.to('cuda' if torch.cuda.is_available() else 'cpu'), list(Path(sys.argv[2]).read_bytes())):.4f} bits a byte")
