"""docs/reliability.md: a table whose rows are replaced one at a time, as gates are run again."""

import time
from typing import NamedTuple

from reliability.bench import ROOT, Outcome

PAGE = ROOT / "docs" / "reliability.md"
HEAD = "| Gate | Promise | Holds | What was done | Result | Seconds | Date |"
RULE = "| :-- | :-- | :-- | :-- | :-- | --: | :-- |"


class Row(NamedTuple):
    """One gate that was run."""

    name: str
    what: str
    outcome: Outcome
    seconds: float

    def line(self) -> str:
        """As a row of the table."""
        held = "yes" if self.outcome.passed else "**no**"
        cells = (
            *(self.name, self.what, held, self.outcome.done, self.outcome.result),
            *(f"{self.seconds:.0f}", time.strftime("%Y-%m-%d")),
        )
        return "| " + " | ".join(cell.replace("|", "/") for cell in cells) + " |"


def write_page(row: Row) -> None:
    """Replaces or adds one row; the prose around the table stays as it is."""
    text = PAGE.read_text()
    before, _, rest = text.partition(HEAD)
    body, _, after = rest.partition("\n\n")
    lines = {_name(line): line for line in body.splitlines() if line.startswith("| G")}
    lines[row.name] = row.line()
    ordered = sorted(lines, key=lambda name: [int(part) for part in name[1:].split(".")])
    table = "\n".join([HEAD, RULE, *(lines[name] for name in ordered)])
    new = PAGE.with_suffix(".tmp")
    new.write_text(f"{before}{table}\n\n{after}")
    new.replace(PAGE)


def _name(line: str) -> str:
    return line.split(" | ")[0].removeprefix("| ")
