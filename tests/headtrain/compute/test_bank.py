"""A bank against the heads it holds, each alone: what is mapped is what one head computes."""

from copy import deepcopy

import pytest
import torch

from amnet_common.errors import ConfigError
from headtrain.compute.bank.bank import Bank
from headtrain.compute.bank.dropout import factors as factors_at
from headtrain.compute.bank.dropout import keys_of, place_of
from headtrain.heads.architectures import new_head
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import Handed
from headtrain.heads.rehearsal import rehearse
from headtrain.settings.configuration import TrainingConfig, override
from headtrain.settings.presets import RELEASED
from headtrain.training.losses import Penalties, loss_terms

B, L, D = 7, 6, 5


def random_heads(config, shares):
    """One head for each dropout share, every parameter and statistic random."""
    heads = []
    for number, share in enumerate(shares):
        torch.manual_seed(number)
        dropouts = {f"{part}_dropout": share for part in ("feature", "attention", "regress")}
        head = new_head(override(config, **dropouts).head).train()
        for parameter in head.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        heads.append(head)
    return heads


def keys(seeds, places):
    """Of one step of so many heads, (N, places, 2)."""
    return torch.stack([torch.from_numpy(keys_of(seed, 1, 1, places)[0]) for seed in seeds])


def drawn(bank, images, seeds=None, first=0):
    """The factors of one forward pass of a bank, each head with a seed of its own."""
    places, image = bank.places(images), torch.arange(first, first + images, dtype=torch.int32)
    return bank.draw(places, keys(seeds or range(10, 10 + len(bank.heads)), len(places)), image)


def noise_alone(head, seed, images):
    """The dropout of a head that knows of no other."""
    sites = rehearse(head, images).sites
    own, image = keys([seed], len(sites)), torch.arange(images, dtype=torch.int32)
    found = [factors_at(place_of([site], images), own[:, n], image) for n, site in enumerate(sites)]
    return Handed(one if one is None else one[0] for one in found)


def losses_of(heads, x, y, settings):
    """Every head alone: its output and loss, with gradients in the heads."""
    outputs = []
    for number, (head, own) in enumerate(zip(heads, settings, strict=True)):
        outputs.append(head(x, noise_alone(head, 10 + number, len(x))))
        alone = type(outputs[-1])(*(part.unsqueeze(0) for part in outputs[-1]))  # N = 1
        loss_terms(alone, y.unsqueeze(0), Penalties([own], "cpu"))[2].sum().backward()
    return outputs


CASES = [
    {},
    {"steps": 0},
    {"steps": 1, "output": "last"},
    {"attention": False},
    {"feature_dropout_unit": "value", "output": "mean"},
    {"standardise": False},
]


@pytest.fixture(params=["paper", "released"])
def architecture(request):
    return request.param


@pytest.mark.parametrize("shares", [(0.0, 0.0), (0.5, 0.0, 0.3)])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_outputs_and_gradients_are_those_of_each_head_alone(tiny, architecture, case, shares):
    config = override(tiny, architecture=architecture, **({"standardise": False, "hidden": D} | case
                      if architecture == "released" else case))  # fmt: skip
    if config.head.architecture == "released" and config.head.standardise:
        pytest.skip("the released architecture does not standardise")
    alone = random_heads(config, shares)
    together = deepcopy(alone)
    x, y = torch.rand(B, L, D), torch.rand(len(shares), B)
    settings = [
        TrainingConfig(penalty=0.1 * n, order_penalty=0.2, penalty_form="released") for n, _ in enumerate(shares)
    ]
    wanted = losses_of(alone, x, y[0], settings)
    bank = Bank(together)
    found = bank.forward(x, drawn(bank, len(x)))
    loss_terms(found, y[:1].expand_as(found.score), Penalties(settings, "cpu"))[2].sum().backward()
    for n, head in enumerate(alone):
        for mine, reference in zip(found, wanted[n], strict=True):
            torch.testing.assert_close(mine[n], reference)
        for name, parameter in head.named_parameters():
            given = dict(together[n].named_parameters())[name].grad
            reference = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            torch.testing.assert_close(
                given, reference, atol=2e-6, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}"
            )
        for name, buffer in head.named_buffers():
            torch.testing.assert_close(dict(together[n].named_buffers())[name], buffer)


def test_what_an_optimiser_does_to_a_head_happens_in_the_bank(tiny):
    heads = random_heads(tiny, (0.0, 0.0))
    bank = Bank(heads)
    before = bank.parameters["attention.M"].detach().clone()
    bank.forward(torch.rand(B, L, D), drawn(bank, B)).score.sum().backward()
    torch.optim.Adam(heads[1].parameters(), lr=0.1).step()
    assert torch.equal(bank.parameters["attention.M"][0], before[0])
    assert not torch.equal(bank.parameters["attention.M"][1], before[1])
    bank.zero_grad()
    assert not heads[0].attention.M.grad.any()


def test_batchnorm_statistics_of_each_head_follow_the_batches():
    config = override(RELEASED, locations=L, channels=D, hidden=4, regress_hidden=3)
    heads = random_heads(config, (0.0, 0.0))
    alone = deepcopy(heads)
    x = torch.rand(B, L, D)
    bank = Bank(heads)
    bank.forward(x, drawn(bank, len(x)))
    for head, reference in zip(heads, alone, strict=True):
        reference(x)
        torch.testing.assert_close(head.bn1.running_var, reference.bn1.running_var)
        assert head.bn1.num_batches_tracked == 1


def test_twenty_updates_in_double_precision_are_those_of_each_head_alone(tiny, architecture):
    config = override(tiny, architecture=architecture, standardise=False, hidden=D)
    together = [head.double() for head in random_heads(config, (0.5, 0.0, 0.3))]
    alone = deepcopy(together)
    x, y = torch.rand(20, B, L, D).double(), torch.rand(20, B).double()
    for heads in (together, *([head] for head in alone)):
        optimisers = [torch.optim.Adam(head.parameters(), lr=0.01) for head in heads]
        # equal noise in both: the share of dropout tells the heads apart
        bank, seeds = Bank(heads), [int(100 * head.config.feature_dropout) for head in heads]
        for step in range(20):
            bank.zero_grad()
            ((bank.forward(x[step], drawn(bank, B, seeds)).score - y[step]) ** 2).mean(1).sum().backward()
            for optimiser in optimisers:
                optimiser.step()
    for one, other in zip(together, alone, strict=True):
        for name, tensor in one.state_dict().items():
            torch.testing.assert_close(tensor, other.state_dict()[name], atol=1e-8, rtol=0, msg=f"{name} differs")


class Normed(Head):
    """A head of a user's own: BatchNorm over the mean of the features, dropout, two steps."""

    outputs = 2

    def __init__(self, config):
        super().__init__(config)
        self.norm, self.out = torch.nn.BatchNorm1d(config.channels), torch.nn.Linear(config.channels, 2)

    def forward(self, x, noise):
        m = self.out(noise.drop(self.norm(self.standardised(x).mean(1)), 0.4))  # (B, 2)
        attention = torch.softmax(x.mean(-1), -1)[:, None].expand(-1, 2, -1)  # (B, 2, L)
        return Output(m.sum(1), m, attention)


def own_heads(kind, tiny, count=3):
    config = tiny.head.with_own("own.py:Own", "00", {})
    heads = []
    for number in range(count):
        torch.manual_seed(number)
        heads.append(kind(config).train())
    return heads


def test_a_head_of_ones_own_is_in_a_bank_what_it_is_alone(tiny):
    together = own_heads(Normed, tiny)
    alone = deepcopy(together)
    assert together[0].whole_batch
    x = torch.rand(B, L, D)
    bank = Bank(together)
    found = bank.forward(x, drawn(bank, B))
    found.score.sum().backward()
    for n, head in enumerate(alone):
        wanted = head(x, noise_alone(head, 10 + n, B))
        wanted.score.sum().backward()
        for mine, reference in zip(found, wanted, strict=True):
            torch.testing.assert_close(mine[n], reference)
        torch.testing.assert_close(together[n].out.weight.grad, head.out.weight.grad)
        torch.testing.assert_close(together[n].norm.running_mean, head.norm.running_mean)
        assert together[n].norm.num_batches_tracked == 1


@pytest.mark.parametrize(
    ("forward", "said"),
    [
        (lambda self, x, noise: x.mean((1, 2)), "expected an Output, found a Tensor"),  # noqa: ARG005
        (
            lambda self, x, noise: self.single(x.mean(2)),  # noqa: ARG005
            r"found ShapeError: single: expected a score \(B,\), found \(7, 6\), line \d",
        ),
        (lambda self, x, noise: Output(x[:, 0, 0], x[:, 0, :2], x[:, :1, :1]), r"expected steps \(7, 1\), found"),  # noqa: ARG005
        (lambda self, x, noise: self.single(x.mean((1, 2)) if x.sum() > 0 else x[:, 0, 0]), "branches"),  # noqa: ARG005
        (lambda self, x, noise: self.single(torch.dropout(x, 0.5, True).mean((1, 2))), "which no seed decides"),  # noqa: ARG005
    ],
)
def test_a_forward_that_a_bank_could_not_run_is_refused_in_one_line(tiny, forward, said):
    kind = type("Odd", (Head,), {"forward": forward})
    with pytest.raises(ConfigError, match=f"Odd.forward: .*{said}") as told:
        Bank(own_heads(kind, tiny)).places(B)
    assert "\n" not in str(told.value)
