"""Make README's picture: the overview of the first sample."""

from pathlib import Path

import photonstats as ps

HERE = Path(__file__).parent

if __name__ == "__main__":
    analysis = ps.analyze(HERE.parent / "data_samples" / "blinking_dot.ptu")
    analysis.plot().savefig(HERE / "blinking_dot.png", dpi=120)
