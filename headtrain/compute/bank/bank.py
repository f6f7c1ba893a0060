"""N heads of one class and shape: its `forward`, mapped over their stacked parameters."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Generator, Tensor
from torch.func import functional_call, vmap

from amnet_common.errors import ConfigError
from headtrain.compute.bank.stacks import stack
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import Drawn, Factors, Handed, Site
from headtrain.heads.rehearsal import rehearse

Draws = Sequence[Factors]  # (N, ...) each, in the order of a forward pass; None: no head drops any there


class Bank:
    """Hold N heads of one shape and one training list, in training. The heads stay whole heads; their memory is common.

    Attributes: `heads`, `device`, `parameters` and `buffers`, (N, ...) each by their names in a head, and `generators`,
    those of the heads' dropout (None: torch's global one).
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        self.heads, self.device = list(heads), heads[0].target_mean.device
        self.generators: list[Generator | None] = [None] * len(heads)
        self.parameters, self.buffers = stack(heads)
        self.own = {name: tensor for name, tensor in self.buffers.items() if name not in heads[0].common}
        self.common = {name: tensor[0] for name, tensor in self.buffers.items() if name in heads[0].common}
        self._sites: dict[int, list[tuple[Site, ...]]] = {}

    def forward(self, x: Tensor, drawn: Draws) -> Output:
        """Compute each head's output for the same x (B, L, D): score (N, B), steps (N, B, T), attention (N, B, T, L).

        It draws nothing itself: `drawn` is what `draw` gave for B images. One head needs no mapping, which would cost.
        """
        if len(self.heads) == 1:
            output = self.heads[0](x, Handed(factors if factors is None else factors[0] for factors in drawn))
            return Output(*(part.unsqueeze(0) for part in output))
        given = [factors for factors in drawn if factors is not None]

        def of_one(parameters: Mapping[str, Tensor], buffers: Mapping[str, Tensor], given: Iterable[Tensor]) -> Output:
            left = iter(given)
            noise = Handed(factors if factors is None else next(left) for factors in drawn)
            return functional_call(self.heads[0], {**parameters, **buffers, **self.common}, (x, noise))

        return vmap(of_one)(self.parameters, self.own, given)

    def draw(self, images: int) -> Draws:
        """Draw the dropout factors of one forward pass of so many images, from each head's own generator.

        Raises ConfigError for heads whose forward passes differ in more than how much they drop.
        """
        sources = [Drawn(generator, self.device) for generator in self.generators]
        return [stacked([source.factors(one.shape, one.share) for source, one in zip(sources, of_one, strict=True)])
                for of_one in zip(*self.sites(images), strict=True)]  # fmt: skip

    def sites(self, images: int) -> list[tuple[Site, ...]]:
        """List every dropout of each head's forward pass of so many images, in its order."""
        if images not in self._sites:
            found = [rehearse(head, images).sites for head in self.heads]
            if len({tuple(site.shape for site in sites) for sites in found}) > 1:
                raise ConfigError(f"{type(self.heads[0]).__name__}.forward: expected noise.drop at the same places for "
                                  "all settings, also for a share of 0; found others in heads of one bank")  # fmt: skip
            self._sites[images] = found
        return self._sites[images]

    def zero_grad(self) -> None:
        """Set all gradients to 0, in place: the heads' own are views of them."""
        for parameter in self.parameters.values():
            if parameter.grad is not None:
                parameter.grad.zero_()


def stacked(drawn: Sequence[Factors]) -> Factors:
    """Stack the factors of one dropout of all heads, (N, ...); None where no head drops any."""
    of_one = next((factors for factors in drawn if factors is not None), None)
    if of_one is None:
        return None
    if len(drawn) == 1:
        return of_one.unsqueeze(0)  # without a copy
    kept = torch.ones_like(of_one)
    return torch.stack([kept if factors is None else factors for factors in drawn])
