"""The catalogue of models against transformers' own classes, and against published counts."""

import math

import pytest
import torch
import transformers as hf

from memprof.errors import UsageError
from memprof.estimate.cache_layout import cache_layout
from memprof.estimate.catalog.models import model_config, model_names
from memprof.estimate.experts import active_parameters
from memprof.estimate.model_spec import ModelSpec
from memprof.estimate.shapes import parameter_count, parameter_shapes
from tests.estimate.hyena import hyena

#: As the models' cards and the headers of their weight files say, the head once where it is tied.
PUBLISHED = {
    "gpt2": 124_439_808,
    "gpt2-medium": 354_823_168,
    "gpt2-large": 774_030_080,
    "gpt2-xl": 1_557_611_200,
    "llama-7b": 6_738_415_616,
    "llama-13b": 13_015_864_320,
    "llama-30b": 32_528_943_616,
    "llama-65b": 65_285_660_672,
    "llama-2-7b": 6_738_415_616,
    "llama-2-70b": 68_976_648_192,
    "llama-3-8b": 8_030_261_248,
    "llama-3-70b": 70_553_706_496,
    "llama-3.1-405b": 405_853_388_800,
    "llama-3.2-1b": 1_235_814_400,
    "llama-3.2-3b": 3_212_749_824,
    "mistral-7b": 7_241_732_096,
    "mistral-7b-v0.3": 7_248_023_552,
    "mistral-nemo-12b": 12_247_782_400,
    "mistral-small-24b": 23_572_403_200,
    "mistral-large-123b": 122_610_069_504,
    "mixtral-8x7b": 46_702_792_704,
    "mixtral-8x22b": 140_620_634_112,
    "qwen2.5-0.5b": 494_032_768,
    "qwen2.5-1.5b": 1_543_714_304,
    "qwen2.5-3b": 3_085_938_688,
    "qwen2.5-7b": 7_615_616_512,
    "qwen2.5-14b": 14_770_033_664,
    "qwen2.5-32b": 32_763_876_352,
    "qwen2.5-72b": 72_706_203_648,
    "qwen3-0.6b": 596_049_920,
    "qwen3-1.7b": 1_720_574_976,
    "qwen3-4b": 4_022_468_096,
    "qwen3-8b": 8_190_735_360,
    "qwen3-14b": 14_768_307_200,
    "qwen3-32b": 32_762_123_264,
    "qwen3-30b-a3b": 30_532_122_624,
    "qwen3-235b-a22b": 235_093_634_560,
    "gemma-2-2b": 2_614_341_888,
    "gemma-2-9b": 9_241_705_984,
    "gemma-2-27b": 27_227_128_320,
    "gemma-3-1b": 999_885_952,
    "phi-1.5": 1_418_270_720,
    "phi-2": 2_779_683_840,
    "phi-3-mini": 3_821_079_552,
    "phi-3-medium": 13_960_238_080,
    "phi-4": 14_659_507_200,
    "phi-4-mini": 3_836_021_760,
    "falcon-7b": 6_921_720_704,
    "falcon-40b": 41_303_293_952,
    "deepseek-v2": 235_741_434_880,
    "deepseek-v2-lite": 15_706_484_224,
    "deepseek-v3": 671_026_419_200 - 58 * 256,  # without the routers' correction biases
    "gpt-oss-20b": 20_914_757_184,
    "gpt-oss-120b": 116_829_156_672,
    "mamba-130m": 129_135_360,
    "mamba-370m": 371_516_416,
    "mamba-790m": 793_204_224,
    "mamba-1.4b": 1_372_178_432,
    "mamba-2.8b": 2_768_345_600,
    "mamba2-2.7b": 2_702_599_680,
    "rwkv-4-169m": 169_342_464,
    "rwkv-4-430m": 430_397_440,
    "jamba-v0.1": 51_570_323_328,
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_counts_to_the_last_digit(name: str) -> None:
    assert parameter_count(model_config(name)) == PUBLISHED[name]


def configuration(model: str) -> hf.PreTrainedConfig:
    told = {key: value for key, value in model_config(model).items() if key[0] != "_"}
    kind = told.pop("model_type")
    if kind == "phi3":
        told["pad_token_id"] = 0
    for name in ("q_lora_rank", "sliding_window"):
        told |= {name: None} if told.get(name) == 0 else {}
    return hf.AutoConfig.for_model(kind, **told)


@pytest.mark.parametrize("name", ["hyenadna-tiny-1k", "hyenadna-small-32k", "hyenadna-large-1m"])
def test_hyena_has_the_parameters_of_its_papers(name: str) -> None:
    config = dict(model_config(name))
    with torch.device("meta"):
        model = hyena(config)
    real = sorted(parameter.numel() for parameter in model.parameters())
    shapes = parameter_shapes(config) or []
    assert sorted(math.prod(shape) for _, shape in shapes) == real


def in_transformers(name: str) -> bool:
    return model_config(name)["model_type"] != "hyenadna"


@pytest.mark.parametrize("name", [name for name in model_names() if in_transformers(name)])
def test_names_and_shapes_are_those_of_transformers_own_class(name: str) -> None:
    with torch.device("meta"):
        model = hf.AutoModelForCausalLM.from_config(configuration(name))
    model.tie_weights()
    real = [(key, tuple(parameter.shape)) for key, parameter in model.named_parameters()]
    assert parameter_shapes(model_config(name)) == real
    assert parameter_shapes(configuration(name).to_dict()) == real


@pytest.mark.parametrize("name", [name for name in model_names() if in_transformers(name)])
def test_caches_have_the_layers_that_transformers_infers(name: str) -> None:
    ours, theirs = cache_layout(model_config(name)), cache_layout(configuration(name).to_dict())
    assert ours == theirs


def test_windows_of_a_raw_configuration() -> None:
    for name, windowed in (("gemma-2-2b", 13), ("gemma-3-27b", 52), ("gpt-oss-20b", 12)):
        layout = cache_layout(model_config(name))
        assert not isinstance(layout, str)
        assert sum(layer.window is not None for layer in layout.layers) == windowed


@pytest.mark.parametrize(
    ("name", "active"),
    [
        ("mixtral-8x7b", 12_879_925_248),
        ("llama-3-8b", 8_030_261_248),
    ],
)
def test_active_parameters(name: str, active: int) -> None:
    assert active_parameters(ModelSpec.from_config(model_config(name))) == active


def test_active_parameters_are_what_the_papers_round_to() -> None:
    for name, billions in (
        ("deepseek-v3", 37), ("deepseek-v2", 21), ("qwen3-235b-a22b", 22), ("jamba-v0.1", 12),
    ):  # fmt: skip
        found = active_parameters(ModelSpec.from_config(model_config(name)))
        assert found is not None
        assert abs(found / 1e9 - billions) < 0.7, name


def test_names_are_found_as_people_write_them() -> None:
    for name in ("Llama-3-70B", "meta-llama/Meta-Llama-3-70B", "llama 3 70b", "LLAMA_3_70B"):
        assert model_config(name)["num_hidden_layers"] == 80


def test_an_unknown_model_names_the_closest() -> None:
    with pytest.raises(UsageError, match="did you mean llama-3-70b"):
        model_config("lama-3-70b")
