"""What a run has shown."""

from dataclasses import dataclass


@dataclass
class Report:
    """What was found, a line each; `wrong` counts what must not be."""

    wrong: int = 0

    def say(self, text: str, *, holds: bool = True) -> None:
        self.wrong += not holds
        print(f"{'  ' if holds else '! '}{text}", flush=True)
