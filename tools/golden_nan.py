"""Makes tests/golden_nan.json: each origin's parameter where one gradient is NaN, and its state afterwards.

Every optimizer of ORIGINS runs in float64 at the arguments there, over one element and the gradients of GRADS. NaN is
null in the file.

    pip install -r tools/requirements.txt
    python tools/golden_nan.py
"""

import json
import math
from pathlib import Path

import numpy as np

from golden import check_versions
from golden_cases import STEPS, Case
from golden_origins import ORIGINS, run

FILE = Path(__file__).resolve().parent.parent / "tests" / "golden_nan.json"
GRADS = [0.5, math.nan] + [0.5, -0.25] * (STEPS // 2 - 1)


def finite(values):
    """Numbers for JSON, which has no NaN."""
    return [None if math.isnan(value) else value for value in np.ravel(values).tolist()]


def main():
    check_versions()
    trace = {"param.w": np.array([1.0]), "grad.w": np.array(GRADS)[:, None]}
    runs = {}
    for build in ORIGINS:
        if build.startswith("tensorflow"):
            continue  # of the age of NumPy 1, and in a file of its own row
        case = Case(build, build)
        tensors, _ = run(case, trace)
        slots = {
            name.removeprefix("state.w."): finite(values)[0]
            for name, values in tensors.items()
            if name.startswith("state.")
        }
        runs[build] = {"config": case.config, "param": finite(tensors["param.w"]), "state": slots}
        print(f"{build:40} {runs[build]['param'][:4]} {slots}")
    rows = ",\n".join(f"  {json.dumps(build)}: {json.dumps(row)}" for build, row in runs.items())
    FILE.write_text(f'{{"grads": {json.dumps(finite(GRADS))}, "runs": {{\n{rows}\n}}}}\n')


if __name__ == "__main__":
    main()
