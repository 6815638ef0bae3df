"""PyTorch DistributedDataParallel beside bench/data_parallel.ts: a Transformer of the enwik8 preset's size, one process a GPU, NCCL.

    python3 bench/torch_ddp.py --ranks 1,2 --attention flex,sdpa --precision f32,bf16 [--hook f16] [--steps 20] [--tiny]

One JSON line a measurement: step time and tokens/s of all ranks, and the same step with `no_sync`, so without any exchange: what of the exchange
is not hidden is their difference. `flex` is FlexAttention with the strided pattern (l 128), whose blocks of 128 are all partly filled; `sdpa` is
dense. Weights, gradients and their exchange are f32 (`--hook f16` sends halves); `bf16` is autocast. Activations are kept, not recomputed.
"""

import argparse
import json
import os
import time

os.environ.setdefault("NCCL_NVLS_ENABLE", "0")
os.environ.setdefault("TORCH_SYMM_MEM_DISABLE_MULTICAST", "1")

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.parallel import DistributedDataParallel


class Block(nn.Module):
    def __init__(self, d, heads, ff, attend, dropout):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(d), nn.LayerNorm(d)
        self.qkv, self.p, self.w1, self.w2 = nn.Linear(d, 3 * d), nn.Linear(d, d), nn.Linear(d, ff), nn.Linear(ff, d)
        self.heads, self.attend, self.dropout = heads, attend, dropout

    def forward(self, x):
        b, n, d = x.shape
        q, k, v = self.qkv(self.norm1(x)).view(b, n, 3, self.heads, d // self.heads).permute(2, 0, 3, 1, 4)
        o = self.attend(q.contiguous(), k.contiguous(), v.contiguous()).transpose(1, 2).reshape(b, n, d)
        x = x + F.dropout(self.p(o), self.dropout, True)
        return x + F.dropout(self.w2(F.gelu(self.w1(self.norm2(x)), approximate="tanh")), self.dropout, True)


class Model(nn.Module):
    def __init__(self, n, layers, d, heads, ff, attend, dropout):
        super().__init__()
        self.token, self.position = nn.Embedding(257, d), nn.Parameter(torch.randn(n, d) * 0.02)
        self.blocks = nn.ModuleList(Block(d, heads, ff, attend, dropout) for _ in range(layers))
        self.norm, self.out = nn.LayerNorm(d), nn.Linear(d, 256, bias=False)

    def forward(self, tokens):
        x = self.token(tokens) + self.position
        for block in self.blocks:
            x = block(x)
        return self.out(self.norm(x))


def attention(kind, n, dev):
    if kind == "sdpa":
        return lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True)
    from torch.nn.attention.flex_attention import create_block_mask, flex_attention

    l = 128
    mask = create_block_mask(lambda b, h, i, j: (j <= i) & ((i - j <= l) | ((i - j) % l == 0)), None, None, n, n, device=dev, _compile=True)
    flex = torch.compile(flex_attention)
    return lambda q, k, v: flex(q, k, v, block_mask=mask)


def rank(number, size, args, kind, precision):
    cuda = torch.cuda.is_available()
    dev = torch.device("cuda", number) if cuda else torch.device("cpu")
    if cuda:
        torch.cuda.set_device(dev)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(args.port))
    dist.init_process_group("nccl" if cuda else "gloo", rank=number, world_size=size)
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.manual_seed(0)
    n, layers, d, heads, ff = (256, 2, 32, 2, 64) if args.tiny else (12288, 30, 512, 8, 2048)
    sync = torch.cuda.synchronize if cuda else lambda: None
    try:
        inner = Model(n, layers, d, heads, ff, attention(kind, n, dev), 0.4).to(dev)
        model = DistributedDataParallel(inner, device_ids=[number] if cuda else None, gradient_as_bucket_view=True)
        if args.hook == "f16":
            from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import fp16_compress_hook

            model.register_comm_hook(None, fp16_compress_hook)
        optimizer = torch.optim.AdamW(model.parameters(), lr=3.5e-4, fused=cuda)
        tokens = torch.randint(0, 256, (1, n), device=dev)

        def step():
            with torch.autocast(dev.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = F.cross_entropy(model(tokens).flatten(0, 1).float(), tokens.flatten())
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            optimizer.zero_grad(set_to_none=False)

        def timed(steps):
            sync()
            dist.barrier()
            begun = time.perf_counter()
            for _ in range(steps):
                step()
            sync()
            return (time.perf_counter() - begun) * 1000 / steps

        timed(3)
        ms = timed(args.steps)
        with model.no_sync():
            alone = timed(max(2, args.steps // 2))
        if number == 0:
            line = {"torch": "DDP", "attention": kind, "precision": precision, "wire": args.hook, "ranks": size, "stepMs": round(ms, 2)}
            line |= {"withoutExchangeMs": round(alone, 2), "tokensPerSecond": round(size * n / ms * 1000)}
            line |= {"megabytes": round(sum(p.numel() for p in model.parameters()) * (2 if args.hook == "f16" else 4) / 1e6, 1)}
            print("RESULT " + json.dumps(line), flush=True)
    except Exception as error:  # noqa: BLE001 - every failure becomes a line
        if number == 0:
            print("RESULT " + json.dumps({"torch": "DDP", "attention": kind, "ranks": size, "error": str(error)[:300]}), flush=True)
    finally:
        dist.destroy_process_group()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--ranks", default="1,2")
    parser.add_argument("--attention", default="sdpa")
    parser.add_argument("--precision", default="f32")
    parser.add_argument("--hook", default="f32", choices=["f32", "f16"])
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--port", type=int, default=29531)
    parser.add_argument("--tiny", action="store_true")
    args = parser.parse_args()
    for kind in args.attention.split(","):
        for precision in args.precision.split(","):
            for size in map(int, args.ranks.split(",")):
                args.port += 1
                mp.spawn(rank, (size, args, kind, precision), nprocs=size)


if __name__ == "__main__":
    main()
