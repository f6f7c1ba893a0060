"""N heads of one class and shape: its `forward`, mapped over their stacked parameters."""

from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor
from torch.func import functional_call, vmap

from amnet_common.errors import ConfigError
from headtrain.compute.bank.dropout import Place, factors, place_of
from headtrain.compute.bank.stacks import stack
from headtrain.heads.head import Head, Output
from headtrain.heads.noise import Factors, Handed
from headtrain.heads.rehearsal import rehearse

Draws = Sequence[Factors]  # (N, ...) each, in the order of a forward pass; None: no head drops any there
Places = tuple[Place | None, ...]  # likewise


class Bank:
    """Hold N heads of one shape and one training list, in training. The heads stay whole heads; their memory is common.

    Attributes: `heads`, `device`, `parameters` and `buffers`, (N, ...) each by their names in a head.
    """

    def __init__(self, heads: Sequence[Head]) -> None:
        self.heads, self.device = list(heads), heads[0].target_mean.device
        self.parameters, self.buffers = stack(heads)
        self.own = {name: tensor for name, tensor in self.buffers.items() if name not in heads[0].common}
        self.common = {name: tensor[0] for name, tensor in self.buffers.items() if name in heads[0].common}
        self._places: dict[int, Places] = {}

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

    def draw(self, places: Places, keys: Tensor, image: Tensor) -> Draws:
        """Compute the dropout factors of one forward pass: at `places` of B images, whose numbers in their batch are
        `image` (B,) int32, with `keys` (N, places, 2) int32 of one step.
        """
        return [factors(place, keys[:, number], image) for number, place in enumerate(places)]

    def places(self, images: int) -> Places:
        """List where the heads drop values in a forward pass of so many images, in its order.

        Raises ConfigError for heads whose forward passes differ in more than how much they drop.
        """
        if images not in self._places:
            found = [rehearse(head, images).sites for head in self.heads]
            if len({tuple(site.shape for site in sites) for sites in found}) > 1:
                raise ConfigError(f"{type(self.heads[0]).__name__}.forward: expected noise.drop at the same places for "
                                  "all settings, also for a share of 0; found others in heads of one bank")  # fmt: skip
            self._places[images] = tuple(place_of(of_one, images, self.device) for of_one in zip(*found, strict=True))
        return self._places[images]

    def zero_grad(self) -> None:
        """Set all gradients to 0, in place: the heads' own are views of them."""
        torch._foreach_zero_([parameter.grad for parameter in self.parameters.values() if parameter.grad is not None])
