"""What a finished run recommends, with the plain student and the distilled one side by side.

    recdistill demo
    python examples/recommend.py runs/demo "Toy Story" "Heat" "Usual Suspects"

The models are loaded once; each further call takes about a millisecond.
"""

import argparse
import sys
import time
from pathlib import Path

from recdistill.errors import UserError
from recdistill.serving.recommender import Recommender


def main() -> int:
    """Load both models, ask both, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("history", nargs="+", help="titles, parts of them, or item ids; oldest first")
    parser.add_argument("--top_k", type=int, default=5)
    options = parser.parse_args()
    try:
        for model in ("student", "distilled"):
            recommender = Recommender.load(options.run, model=model)
            recommender.recommend(options.history, top_k=options.top_k)  # the first call warms up
            began = time.perf_counter()
            items = recommender.recommend(options.history, top_k=options.top_k)
            milliseconds = 1000 * (time.perf_counter() - began)
            sys.stdout.write(f"{model} ({milliseconds:.1f} ms)\n")
            for place, item in enumerate(items, start=1):
                sys.stdout.write(f"  {place}. {item.title}  [{item.item_id}]  {item.score:.3f}\n")
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
