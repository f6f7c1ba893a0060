"""Print the lowest version that pyproject.toml allows of each package that amnet stands on, as constraints of pip."""

import re
import tomllib
from pathlib import Path


def lowest(requirements: list[str]) -> list[str]:
    """Each `name>=version` as `name==version`."""
    found = (re.fullmatch(r"([\w.-]+)>=([\w.]+)", text) for text in requirements)
    return [f"{one[1]}=={one[2]}" for one in found if one]


if __name__ == "__main__":
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = [text for name, texts in project["optional-dependencies"].items() if name != "dev" for text in texts]
    print("\n".join(lowest([*project["dependencies"], *extras])))  # noqa: T201 - what it is for
