"""Train a card-fraud model. Reads data/train.csv, writes model/model.joblib and model/metrics.json."""

import json
from pathlib import Path

import joblib
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import log_loss, precision_score, recall_score, roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import OrdinalEncoder
from threadpoolctl import threadpool_limits

import custody_run

TARGET = "is_fraud"
# Identifiers, and who the customer is: not for the model.
NOT_FEATURES = [
    "transaction_id", "customer_id", "merchant_id", "time", "source", "sex", "age_band", "region", TARGET,
]  # fmt: skip

data = pd.read_csv("data/train.csv")
data = data.iloc[custody_run.order(len(data))]  # the order follows from the seal: nobody knew it before
features = data.drop(columns=NOT_FEATURES)
text = [name for name in features if not pd.api.types.is_numeric_dtype(features[name])]

encode = ColumnTransformer(
    [("text", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), text)],
    remainder="passthrough",
)
boost = HistGradientBoostingClassifier(
    warm_start=True,
    learning_rate=0.07,
    max_leaf_nodes=8,
    min_samples_leaf=60,
    l2_regularization=5.0,
    max_features=0.5,
    early_stopping=False,
    class_weight={0: 1.0, 1: 5.0},  # a missed fraud costs more than a needless question
)

fit_x, test_x, fit_y, test_y = train_test_split(features, data[TARGET], test_size=0.2, stratify=data[TARGET])
# The table is small: one thread is quicker than many, and its sums come out the same every time.
with threadpool_limits(limits=1):
    encoded = encode.fit_transform(fit_x)
    for trees in custody_run.steps(range(10, 121, 10)):
        boost.set_params(max_iter=trees).fit(encoded, fit_y)
        custody_run.log(trees=trees, loss=log_loss(fit_y, boost.predict_proba(encoded)[:, 1]))
    model = Pipeline([("encode", encode), ("boost", boost)])
    scores = model.predict_proba(test_x)[:, 1]

out = Path("model")
out.mkdir(exist_ok=True)
joblib.dump(model, out / "model.joblib")
metrics = {
    "rows": len(fit_x),
    "auc": roc_auc_score(test_y, scores),
    "recall": recall_score(test_y, scores >= 0.5),
    "precision": precision_score(test_y, scores >= 0.5),
}
(out / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n")
print(" ".join(f"{name} {value:.3f}" for name, value in metrics.items()))
