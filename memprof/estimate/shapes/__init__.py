"""Every parameter of an architecture by name and shape, from its configuration alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Final

from memprof.errors import UsageError
from memprof.estimate.shapes.decoder import gemma, llama, mixtral, phi3, qwen2_moe, qwen3_moe
from memprof.estimate.shapes.gpt2 import gpt2
from memprof.estimate.shapes.gpt_oss import gpt_oss
from memprof.estimate.shapes.hyena import hyena
from memprof.estimate.shapes.jamba import jamba
from memprof.estimate.shapes.latent import deepseek
from memprof.estimate.shapes.mamba import mamba, mamba2
from memprof.estimate.shapes.parallel import falcon, phi
from memprof.estimate.shapes.parts import Config, Named
from memprof.estimate.shapes.rwkv import rwkv

#: Formulas by the architecture's name (`model_type`) in transformers.
FORMULAS: Final[dict[str, Callable[[Config], Iterator[Named]]]] = {
    "deepseek_v2": deepseek,
    "deepseek_v3": deepseek,
    "falcon": falcon,
    "falcon_mamba": mamba,
    "gemma": llama,
    "gemma2": gemma,
    "gemma3_text": gemma,
    "gpt2": gpt2,
    "gpt_oss": gpt_oss,
    "hyenadna": hyena,
    "jamba": jamba,
    "llama": llama,
    "mamba": mamba,
    "mamba2": mamba2,
    "mistral": llama,
    "mixtral": mixtral,
    "phi": phi,
    "phi3": phi3,
    "qwen2": llama,
    "qwen2_moe": qwen2_moe,
    "qwen3": llama,
    "qwen3_moe": qwen3_moe,
    "rwkv": rwkv,
}


def parameter_shapes(config: Config) -> list[Named] | None:
    """Names and shapes of a causal language model's parameters, tied ones once.

    Equal to those of transformers' own class, in its order; None where there is no formula.

    Raises:
        UsageError: if the configuration lacks a size.
    """
    formula = FORMULAS.get(str(config.get("model_type")))
    if formula is None:
        return None
    try:
        shapes = list(formula(config))
    except KeyError as missing:
        key = missing.args[0]
        raise UsageError(
            f'the {config["model_type"]} configuration lacks a size: "{key}" is missing'
        ) from None
    except (TypeError, ValueError, ZeroDivisionError) as error:
        raise UsageError(
            f"the {config['model_type']} configuration has a size that cannot be: {error}"
        ) from None
    strange = next((named for named in shapes if not all(map(_is_size, named[1]))), None)
    if strange is not None:
        raise UsageError(
            f"the {config['model_type']} configuration has a size that cannot be: "
            f"{strange[0]} would have the shape {strange[1]}"
        )
    return shapes


def _is_size(value: object) -> bool:
    return isinstance(value, int) and value > 0


def parameter_count(config: Config) -> int | None:
    """Number of parameters, tied ones once; None where there is no formula.

    Raises:
        UsageError: if the configuration lacks a size.
    """
    shapes = parameter_shapes(config)
    return None if shapes is None else sum(math.prod(shape) for _, shape in shapes)
