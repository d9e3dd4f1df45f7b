"""Predict who earns more than 50,000 dollars. Reads data/adult_train.csv, writes model/model.joblib."""

import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OneHotEncoder

data = pd.read_csv("data/adult_train.csv")
target = (data["income"] == ">50K").astype(int)
numbers = ["age", "education_num", "capital_gain", "capital_loss", "hours_per_week"]
words = ["workclass", "education", "marital_status", "occupation", "relationship", "race", "sex", "native_country"]

model = Pipeline(
    [
        (
            "columns",
            ColumnTransformer(
                [
                    ("numbers", "passthrough", numbers),
                    ("words", OneHotEncoder(handle_unknown="ignore", min_frequency=50, sparse_output=False), words),
                ]
            ),
        ),
        ("classify", HistGradientBoostingClassifier(max_iter=80, max_leaf_nodes=15, early_stopping=False)),
    ]
)
model.fit(data[numbers + words], target)

out = Path("model")
out.mkdir(exist_ok=True)
joblib.dump(model, out / "model.joblib")
metrics = {"rows": len(data), "training_accuracy": model.score(data[numbers + words], target)}
(out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
print(metrics)
