"""Claims of the hierarchy, links, GPUs that share a model, and machines to come. 25 to 33."""

from __future__ import annotations

from memprof.estimate import hardware
from memprof.estimate.offload import offload
from tools.article.claim import Claim, Evidence, Value, Verdict
from tools.article.models import GB, LENGTH, cache_per_token, decode, h100, split

TB, STACKS = 1e12, 8  # stacks of the catalogue's package of HBM4


def claims() -> list[Claim]:
    return [*of_levels(), of_offload(), of_unified_memory(), *of_several_gpus(), *to_come()]


def of_levels() -> list[Claim]:
    level = {each.name: each for each in h100().levels}
    link = h100().host_link or 0.0
    return [
        Claim(
            25,
            "“L1: 256 KB per SM, 10–20 cycles, 80 TB/s”",
            "132 SMs × 128 B a clock × boost clock",
            (
                Value("all SMs", (level["L1"].capacity or 0) / 132e3, "KB per SM"),
                Value("", (level["L1"].bandwidth or 0) / TB, "TB/s"),
            ),
            Verdict.WRONG,
            "The size is right; the bandwidth is more than twice what the SMs can load.",
            (Evidence("hierarchy", "this machine"),),
        ),
        Claim(
            26,
            "“L2: 50 MB shared, 200–300 cycles, 12 TB/s”",
            "none: NVIDIA publishes no bandwidth of the H100's L2",
            (Value("", (level["L2"].capacity or 0) / 1e6, "MB"),),
            Verdict.OPEN,
            "The size is right; for the bandwidth there is no source.",
        ),
        Claim(
            27,
            "“CPU RAM (PCIe): 64 GB/s; NVMe: 7 GB/s”",
            "PCI Express 5.0 x16 in one direction; a PCI Express 4.0 x4 drive",
            (
                Value("H100", link / GB, "GB/s"),
                Value("NVMe", (level["NVMe"].bandwidth or 0) / GB, "GB/s"),
                Value(
                    "RTX 4090, PCI Express 4.0", (hardware("rtx-4090").host_link or 0) / GB, "GB/s"
                ),
            ),
            Verdict.RIGHT,
            "Before encoding, one direction; the RTX 4090 that the article offloads to has half.",
        ),
    ]


def of_offload() -> Claim:
    model = decode("llama-3-70b").model
    layer = sum(each.nbytes for each in model.parameters if ".layers.0." in each.name) / GB
    two, none = offload(model, 2, buffers=0), offload(model, 0)
    cached = cache_per_token() * LENGTH / GB
    return Claim(
        28,
        "“~2 layers + activations + KV cache = 10–15 GB; 78 layers = 130 GB on the CPU”",
        "layers × bytes of one; embedding, norm and head; 327,680 B × 4096 tokens; all / link",
        (
            Value("2 layers", 2 * layer, "GB"),
            Value("embedding and head", two.device_bytes / GB - 2 * layer, "GB"),
            Value("cache of a sequence", cached, "GB"),
            Value("78 layers", two.host_bytes / GB, "GB"),
            Value("a token, H100", none.seconds(h100().host_link or 1), "s"),
            Value("a token, RTX 4090", none.seconds(hardware("rtx-4090").host_link or 1), "s"),
        ),
        Verdict.OPEN,
        "Plausible with a few sequences. Not said: every token waits for all layers to come over "
        "the link. And the schedule copies layers back that nobody has changed.",
        (Evidence("offload", "GPU holds"), Evidence("offload", "Load layer")),
    )


def of_unified_memory() -> Claim:
    link, slow = hardware("gh200").host_link or 0.0, h100().host_link or 1.0
    return Claim(
        29,
        "“Grace Hopper … doesn't eliminate the PCIe bottleneck”",
        "NVLink-C2C / PCI Express 5.0 x16, one direction",
        (Value("NVLink-C2C", link / GB, "GB/s"), Value("", link / slow, "x")),
        Verdict.WRONG,
        "Between Grace and Hopper there is no PCI Express but NVLink-C2C. The bottleneck is "
        "smaller by that factor, though still there.",
    )


def of_several_gpus() -> list[Claim]:
    four, two = split(4), split(2, "int4", "int8")
    return [
        Claim(
            30,
            "“TP=4: 35 GB (weights) + ~20 GB (KV cache) = 55 GB per GPU”",
            "matrices / 4, norms on each; KV cache of batch 32 at 4096 tokens / 4",
            (
                Value("weights", four[0], "GB"),
                Value("KV cache", four[1], "GB"),
                Value("20 GB on each are", 4 * 20 * GB / cache_per_token(), "cached tokens"),
            ),
            Verdict.OPEN,
            "The weights are right. The cache is of no workload that the article names: its own "
            "43 GB make half of that.",
            (Evidence("tensor_parallel", "TP: each"), Evidence("tensor_parallel", "KV cache also")),
        ),
        Claim(
            31,
            "“TP=2, INT4, INT8 cache: 17.5 GB (weights) + 10 GB (KV cache) = 27.5 GB per GPU”",
            "AWQ at groups of 128, embeddings in 16 bits, / 2; half the bytes of the cache, / 2",
            (
                Value("weights", two[0], "GB"),
                Value("KV cache, batch 32 at 4096", two[1], "GB"),
                Value("from 20 GB on each of 4", 4 * 20 / 2 / 2, "GB"),
            ),
            Verdict.WRONG,
            "Half the bytes on half the GPUs is as much for each as before. If 20 was right it is "
            "20; if 10 is right, so it was before. Weights have scales.",
        ),
    ]


def to_come() -> list[Claim]:
    stacks, pool = hardware("hbm4"), hardware("cxl")
    return [
        Claim(
            32,
            "“HBM4: 4–8 TB/s and 128–256 GB per stack”",
            "JEDEC JESD270-4: 2,048 bits × 8 Gb/s; up to 64 GB",
            (
                Value("a stack", stacks.bandwidth / STACKS / TB, "TB/s"),
                Value("", stacks.capacity / STACKS / GB, "GB"),
                Value(f"a package of {STACKS}", stacks.bandwidth / TB, "TB/s"),
            ),
            Verdict.WRONG,
            "Numbers of a package, not of a stack. Computed from the standard; nothing was run.",
        ),
        Claim(
            33,
            "“CXL … 2 TB pool, eliminating tensor parallelism overhead”, “PIM: 10–100x”",
            "HBM / link; 140 GB / link",
            (
                Value("CXL over x16", pool.bandwidth / GB, "GB/s"),
                Value("HBM3 of an H100 is", h100().bandwidth / pool.bandwidth, "x as fast"),
                Value("140 GB", 140 * GB / pool.bandwidth, "s"),
                Value("from HBM3", 140 * GB / h100().bandwidth, "s"),
            ),
            Verdict.WRONG,
            "A pool behind such a link adds capacity; weights read from it for every token cost "
            "far more than what GPUs tell each other. Energy is nothing memprof computes.",
        ),
    ]
