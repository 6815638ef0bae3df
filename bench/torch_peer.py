"""PyTorch beside bench/gpu.ts: the same attention and matrix products, and a training step, on the same GPU, one JSON line each.

Times are medians of CUDA-event times in milliseconds. FlexAttention needs its block masks and a compiler; what cannot
run here says so in its line instead of a time.
"""

import json
import sys

import torch
import torch.nn.functional as F

torch.backends.cuda.matmul.allow_tf32 = False
torch.backends.cudnn.allow_tf32 = False
dev = "cuda"


def median_ms(fn, budget_ms=400.0):
    fn()
    torch.cuda.synchronize()
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    fn()
    end.record()
    torch.cuda.synchronize()
    once = max(start.elapsed_time(end), 0.01)
    times = []
    for _ in range(max(3, min(50, int(budget_ms / once)))):
        start.record()
        fn()
        end.record()
        torch.cuda.synchronize()
        times.append(start.elapsed_time(end))
    return sorted(times)[len(times) // 2]


def report(work, how, fn):
    try:
        line = {"work": work, "torch": how, "ms": round(median_ms(fn), 4)}
    except Exception as error:  # noqa: BLE001 - every failure becomes a line
        line = {"work": work, "torch": how, "error": str(error)[:200]}
    print(json.dumps(line), flush=True)


def qkv(n, dtype, heads=8, d=64):
    g = torch.Generator(device=dev).manual_seed(1)
    return [torch.randn(1, heads, n, d, device=dev, dtype=dtype, generator=g).requires_grad_() for _ in range(3)]


def attention(work, how, attend, n, dtype):
    q, k, v = qkv(n, dtype)
    g = torch.randn_like(q)
    with torch.no_grad():
        report(f"{work} forward", how, lambda: attend(q, k, v))
    report(f"{work} forward + backward", how, lambda: torch.autograd.grad(attend(q, k, v), (q, k, v), g))


class Block(torch.nn.Module):
    """A block of Eqs. 9-14 with dense attention, flash attention where the GPU has it."""

    def __init__(self, d, heads, rate):
        super().__init__()
        self.heads, self.rate = heads, rate
        self.norm1, self.norm2 = torch.nn.LayerNorm(d), torch.nn.LayerNorm(d)
        self.qkv, self.p = torch.nn.Linear(d, 3 * d), torch.nn.Linear(d, d)
        self.w1, self.w2 = torch.nn.Linear(d, 4 * d), torch.nn.Linear(4 * d, d)

    def forward(self, h):
        b, n, d = h.shape
        q, k, v = self.qkv(self.norm1(h)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        o = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).reshape(b, n, d)
        h = h + F.dropout(self.p(o), self.rate)
        z = self.w1(self.norm2(h))
        return h + F.dropout(self.w2(z * torch.sigmoid(1.702 * z)), self.rate)


def step(recompute, layers=30, n=12288, d=512, heads=8, rate=0.4):
    """One step of the enwik8 preset's shape with dense attention: autocast to bf16, AdamW of fused kernels."""
    from torch.utils.checkpoint import checkpoint

    torch.manual_seed(1)
    token, position = torch.nn.Embedding(256, d, device=dev), torch.nn.Embedding(n, d, device=dev)
    blocks = torch.nn.ModuleList(Block(d, heads, rate) for _ in range(layers)).to(dev)
    norm, out = torch.nn.LayerNorm(d, device=dev), torch.nn.Linear(d, 256, bias=False, device=dev)
    every = [p for part in (token, position, blocks, norm, out) for p in part.parameters()]
    optimizer = torch.optim.AdamW(every, lr=1e-4, fused=True)
    tokens, targets = (torch.randint(256, (1, n), device=dev) for _ in range(2))

    def run():
        with torch.autocast(dev, dtype=torch.bfloat16):
            h = token(tokens) + position.weight
            for block in blocks:
                h = checkpoint(block, h, use_reentrant=False) if recompute else block(h)
            loss = F.cross_entropy(out(norm(h)).view(-1, 256), targets.view(-1))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=False)

    report(f"step dense {n}, {layers} layers", "bf16, recomputed" if recompute else "bf16", run)


def main(only):
    if "step" in only:
        step(True)
        step(False)
    if "matmul" in only:
        for dtype, name in ((torch.float32, "f32"), (torch.float16, "f16"), (torch.bfloat16, "bf16")):
            a, b = (torch.randn(4096, 4096, device=dev, dtype=dtype) for _ in range(2))
            report("matmul 4096", name, lambda: a @ b)
    for n in (12288, 65536):
        if f"dense {n}" in only:
            sdpa = lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)  # noqa: E731
            attention(f"dense {n}", "SDPA bf16", sdpa, n, torch.bfloat16)
            if n == 12288:
                attention(f"dense {n}", "SDPA f32", sdpa, n, torch.float32)
    if "flex" in only:
        from torch.nn.attention.flex_attention import create_block_mask, flex_attention

        flex = torch.compile(flex_attention)
        n, l, c = 12288, 128, 32
        masks = {
            "strided 12288": lambda b, h, i, j: (j <= i) & ((i - j <= l) | ((i - j) % l == 0)),
            "fixed 12288": lambda b, h, i, j: (j <= i) & ((i // l == j // l) | (j % l >= l - c * (h % 4 + 1)) & (j % l < l - c * (h % 4))),
        }
        for work, mask in masks.items():
            try:
                block = create_block_mask(mask, None, 8, n, n, device=dev, _compile=True)
            except Exception as error:  # noqa: BLE001
                print(json.dumps({"work": work, "torch": "FlexAttention", "error": str(error)[:200]}), flush=True)
                continue
            attention(work, "FlexAttention bf16", lambda q, k, v: flex(q, k, v, block_mask=block), n, torch.bfloat16)


if __name__ == "__main__":
    main(sys.argv[1:] or ["matmul", "dense 12288", "dense 65536", "flex", "step"])
