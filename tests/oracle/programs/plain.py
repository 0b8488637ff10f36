"""Models written by hand: nothing in them is known to memprof."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

import memprof
from tests.oracle.outcome import Program
from tests.oracle.probe import Probe

VOCABULARY, WIDTH, HEADS, LAYERS, TOKENS = 200, 64, 4, 3, 32
KeysAndValues = list[tuple[torch.Tensor, torch.Tensor]]
ONE_DNN = "oneDNN takes memory of its own, which is no tensor's, for as long as an operator runs"


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention_norm, self.mlp_norm = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU("tanh"), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: torch.Tensor, past: KeysAndValues | None, layer: int) -> torch.Tensor:
        q, k, v = (
            part.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for part in self.qkv(self.attention_norm(x)).split(WIDTH, 2)
        )
        if past is not None:
            if layer < len(past):
                k, v = (torch.cat(pair, 2) for pair in zip(past[layer], (k, v), strict=True))
            past[layer : layer + 1] = [(k, v)]
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=q.shape[2] > 1)
        x = x + self.out(attended.transpose(1, 2).flatten(2))
        return x + self.mlp(self.mlp_norm(x))


class GPT(nn.Module):
    def __init__(self, *, tied: bool = False, sparse: bool = False) -> None:
        super().__init__()
        self.tokens = nn.Embedding(VOCABULARY, WIDTH, sparse=sparse)
        self.places = nn.Embedding(2 * TOKENS, WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.head = nn.Linear(WIDTH, VOCABULARY, bias=False)
        if tied:
            self.head.weight = self.tokens.weight

    def forward(
        self, x: torch.Tensor, past: KeysAndValues | None = None, start: int = 0
    ) -> torch.Tensor:
        hidden = self.tokens(x) + self.places(torch.arange(start, start + x.shape[1]))
        for layer, block in enumerate(self.blocks):
            hidden = block(hidden, past, layer)
        return self.head(hidden)


def batch() -> torch.Tensor:
    return torch.randint(VOCABULARY, (2, TOKENS))


def loss_of(model: nn.Module, tokens: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(model(tokens).flatten(0, 1), tokens.flatten())


def claim_all(
    probe: Probe, model: nn.Module, optimizer: torch.optim.Optimizer, *others: nn.Module
) -> None:
    """Claims every category that the objects of the program can speak for."""
    weights = nn.ModuleList([model, *others])
    states = [value for state in optimizer.state.values() for value in state.values()]
    probe.holds("weights", *weights.parameters())
    probe.holds("buffers", *weights.buffers())
    probe.holds("gradients", *(parameter.grad for parameter in model.parameters()))
    probe.holds("optimizer_state", *(s for s in states if isinstance(s, torch.Tensor)))


def train(probe: Probe, model: nn.Module, *others: nn.Module) -> None:
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(2):
        tokens = batch()
        with probe.activations(tokens, *model.parameters()):
            loss = loss_of(model, tokens)
        loss.backward()
        probe.value(loss)
        optimizer.step()
        claim_all(probe, model, optimizer, *others)
        optimizer.zero_grad()


def gpt(probe: Probe) -> None:
    with probe.traced():
        train(probe, GPT())


def gpt_from_before(probe: Probe) -> None:
    """Weights, gradients and optimizer state exist when the recording begins."""
    model = GPT()
    optimizer = torch.optim.AdamW(model.parameters())
    loss_of(model, batch()).backward()
    optimizer.step()
    with probe.traced():
        loss = loss_of(model, batch())
        loss.backward()
        probe.value(loss)
        optimizer.step()
        claim_all(probe, model, optimizer)


def gpt_tied(probe: Probe) -> None:
    with probe.traced():
        train(probe, GPT(tied=True))


def gpt_copied(probe: Probe) -> None:
    """A frozen copy, as a teacher or a moving average is."""
    with probe.traced():
        model = GPT()
        teacher = copy.deepcopy(model).requires_grad_(False)
        train(probe, model, teacher)
        with torch.no_grad():
            probe.value(loss_of(teacher, batch()))


def gpt_generating(probe: Probe) -> None:
    """Keeps keys and values in a list of its own, and says so."""
    model, past = GPT().eval(), KeysAndValues()
    with probe.traced(), torch.no_grad():
        tokens, start = batch(), 0
        for _ in range(6):
            logits = model(tokens, past, start)
            memprof.tag(past, "kv_cache", "past")
            start += tokens.shape[1]
            tokens = logits[:, -1:].argmax(-1)
            probe.holds("kv_cache", *(tensor for pair in past for tensor in pair))
        probe.value(tokens)
        past.clear()
        probe.holds("kv_cache")
        probe.holds("weights", *model.parameters())


def cnn() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1),
        nn.BatchNorm2d(16),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.BatchNorm2d(32),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 10),
    )


def cnn_training(probe: Probe) -> None:
    with probe.traced():
        model = cnn()
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2):
            images, labels = torch.randn(8, 3, 64, 64), torch.randint(10, (8,))
            loss = functional.cross_entropy(model(images), labels)
            loss.backward()
            probe.value(loss)
            optimizer.step()
            claim_all(probe, model, optimizer)
            optimizer.zero_grad()


def lstm(probe: Probe) -> None:
    with probe.traced():
        model = nn.LSTM(32, 64, 2, batch_first=True)
        optimizer = torch.optim.Adam(model.parameters())
        for _ in range(2):
            loss = model(torch.randn(8, 50, 32))[0].square().mean()
            loss.backward()
            probe.value(loss)
            optimizer.step()
            claim_all(probe, model, optimizer)
            optimizer.zero_grad()


def functions_only(probe: Probe) -> None:
    """A network of functions: no module says what is a weight and when forward begins."""
    with probe.traced():
        weights = [torch.randn(WIDTH, WIDTH, requires_grad=True) for _ in range(LAYERS)]
        optimizer = torch.optim.SGD(weights, lr=0.1, momentum=0.9)
        for _ in range(2):
            hidden = torch.randn(8 * TOKENS, WIDTH)
            with probe.activations(*weights):
                for weight in weights:
                    hidden = functional.gelu(hidden @ weight, approximate="tanh")
                loss = hidden.square().mean()
                del hidden
            loss.backward()
            probe.value(loss)
            optimizer.step()
            probe.holds("weights", *weights)
            probe.holds("gradients", *(weight.grad for weight in weights))
            probe.holds(
                "optimizer_state", *(s["momentum_buffer"] for s in optimizer.state.values())
            )
            optimizer.zero_grad()


def sparse_embedding(probe: Probe) -> None:
    """Gradients of the embedding are sparse tensors: indices and values of their own."""
    with probe.traced():
        model = GPT(sparse=True)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(2):
            loss = loss_of(model, batch())
            loss.backward()
            probe.value(loss)
            assert model.tokens.weight.grad is not None
            assert model.tokens.weight.grad.is_sparse
            claim_all(probe, model, optimizer)
            optimizer.step()
            optimizer.zero_grad()


def data_loader(probe: Probe) -> None:
    """Worker processes make the batches and hand them over in shared memory."""
    data = TensorDataset(torch.randint(VOCABULARY, (16, TOKENS)))
    with probe.traced():
        model = GPT()
        optimizer = torch.optim.AdamW(model.parameters())
        for (tokens,) in DataLoader(data, batch_size=4, num_workers=2):
            loss = loss_of(model, tokens)
            loss.backward()
            probe.value(loss)
            optimizer.step()
            optimizer.zero_grad()
        claim_all(probe, model, optimizer)


CNN = Program(cnn_training, outside=ONE_DNN)
LSTM = Program(lstm, workspaces="an LSTM is one operator", outside=ONE_DNN)
COLUMNS = "a convolution unfolds its input into columns"
PROGRAMS = {
    "GPT": Program(gpt),
    "GPT, tied weights": Program(gpt_tied),
    "GPT, from before the recording": Program(gpt_from_before),
    "GPT and its copy": Program(gpt_copied),
    "GPT generating with its own cache": Program(gpt_generating),
    "functions without modules": Program(functions_only),
    "GPT, sparse embedding": Program(sparse_embedding),
    "GPT fed by worker processes": Program(data_loader),
    "CNN": CNN,
    "CNN without oneDNN": replace(CNN.without_onednn(), workspaces=COLUMNS),
    "LSTM": LSTM,
    "LSTM without oneDNN": LSTM.without_onednn(),
}
