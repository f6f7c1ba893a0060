"""Published figures, to stand beside one's own, and which data set a collection really is."""

from dataclasses import dataclass

from amnet_common.agreement import noise_ceiling, spearman_brown  # noqa: F401 - they stood here
from amnet_common.collection import Collection
from amnet_common.collection.spec import image_list_sha256


@dataclass(frozen=True)
class Published:
    """Hold a figure of the literature: mean test rho and MSE over a data set's splits."""

    system: str
    data: str
    rho: float
    mse: float | None = None
    note: str = ""


# as Fajtl et al. 2018 report them, their own and those of the works that they quote
FIGURES = (
    Published("AMNet", "LaMem", 0.677, 0.0082),
    Published("AMNet without attention", "LaMem", 0.663, 0.0085),
    Published("MemNet", "LaMem", 0.64),
    Published("CNN-MTLES", "LaMem", 0.5025, note="other split"),
    Published("human consistency", "LaMem", 0.68),
    Published("AMNet", "SUN", 0.649, 0.011),
    Published("AMNet without attention", "SUN", 0.62, 0.012),
    Published("MemNet", "SUN", 0.63),
    Published("MemoNet 30k", "SUN", 0.636, 0.012),
    Published("Hybrid-CNN+SVR", "SUN", 0.6202, 0.013),
    Published("Mancas and Le Meur", "SUN", 0.479),
    Published("Isola et al.", "SUN", 0.462, 0.017),
)
# rank correlation of two halves of the observers
HUMAN = {"LaMem": 0.68, "SUN": 0.75, "LNSIM": 0.78}


# LNSIM comes in LaMem's layout: what a collection is of is told by its images, not by --dataset
IMAGE_LISTS = {
    "03551dd5182a063c31ff51d70e1ae3c2502a38750c6f6e3cbd7155d89ac16385": "LaMem",
    "7536d200fde966019cf2a9fa51fef4981e3266b9a2c60ef5c8aaa94a00bbf7ce": "LNSIM",
}
SUN_IMAGES = 2222


def data_of(collection: Collection) -> str | None:
    """Name the data set of a collection: LaMem, LNSIM, SUN, or None for other images, and for scores of one's own on
    the same images.
    """
    if "relabelled" in collection.provenance:
        return None
    if collection.provenance.get("dataset") == "sun" and len(collection) == SUN_IMAGES:
        return "SUN"
    return IMAGE_LISTS.get(collection.image_list)


def image_list_of(ids: list[str]) -> str:
    """Compute the image list hash of ids, which a collection of a data set's lists has sorted."""
    return image_list_sha256([id_.encode("utf-8", "surrogateescape") for id_ in sorted(ids)])
