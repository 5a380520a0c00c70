"""A fitted model and a pipeline, its joblib memory in threads, and the OpenMP pool behind it."""

from typing import Any

import numpy as np
from joblib import Parallel, delayed
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.neighbors import NearestNeighbors
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

SAME = ("forest", "boosted", "neighbours", "parallel", "trained")
CRIU_COLD = r"the randomness of the OpenSSL inside /var/task/pyarrow/\S+, whose generator cannot be renewed"

RANDOM = np.random.default_rng(5)
X = RANDOM.random((400, 6))
Y = (X[:, 0] + X[:, 1] > 1).astype(int)
FOREST = make_pipeline(StandardScaler(), RandomForestClassifier(20, random_state=1, n_jobs=2)).fit(X, Y)
BOOSTED = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(X, Y)
NEIGHBOURS = NearestNeighbors(n_neighbors=3).fit(X)


def handler(event: Any, context: Any) -> dict[str, Any]:
    again = HistGradientBoostingClassifier(max_iter=20, random_state=1).fit(X, Y)
    return {
        "forest": FOREST.predict(X).tolist(),
        "boosted": BOOSTED.predict_proba(X)[:5].round(9).tolist(),
        "neighbours": NEIGHBOURS.kneighbors(X[:3], return_distance=False).tolist(),
        "parallel": Parallel(n_jobs=2, prefer="threads")(delayed(pow)(n, 2) for n in range(10)),
        "trained": bool((again.predict(X) == BOOSTED.predict(X)).all()),
    }
