#!/usr/bin/env bash
# The whole life of a census model under custody, by ordinary commands: it ends with NO-GO and retirement.
#
#   examples/census/life.sh DATA [FOLDER]
#
# DATA holds adult_train.csv and adult_test.csv (or set CUSTODY_CENSUS_DATA); FOLDER is where the
# project is begun (default: a new temporary folder). Exits with the gate's exit code: 1, NO-GO.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
data=${1:-${CUSTODY_CENSUS_DATA:-}}
if [ ! -f "$data/adult_train.csv" ] || [ ! -f "$data/adult_test.csv" ]; then
  echo "no adult_train.csv and adult_test.csv in '${data:-CUSTODY_CENSUS_DATA}'; see $here/README.md" >&2
  exit 2
fi
data=$(cd "$data" && pwd) # we change folder below
folder=${2:-$(mktemp -d)}
mkdir -p "$folder/data"
cd "$folder"
cp "$data/adult_train.csv" "$data/adult_test.csv" data/
cp "$here/train.py" "$here/criteria.toml" .
command -v custody >/dev/null || PATH="$here/../../.venv/bin:$PATH" # the one ./x has made
command -v custody >/dev/null || { echo "custody is not installed; ./x demo sets it up" >&2; exit 2; }
say() { printf '\n$ custody %s\n' "$*"; custody "$@"; }

# People: nobody judges their own work.
say init census-income --owner olga --purpose "Estimate who earns more than 50,000 dollars a year"
say init person rosa --role security_manager --as olga
say init person emil --role data_engineer --as olga
say init person sara --role data_scientist --as olga
say init person theo --role ml_engineer --as olga
say init person vera --role validator --as olga
say init person amir --role approver --as olga

# Where the model comes from: build, buy or adopt.
say source decide build --as rosa --appetite 0.3 --criticality 0.7 --expertise 0.8 \
  --cost build=90000,40000 --cost buy=20000,110000,60000 --cost open=30000,70000 \
  --reason "the expertise is in the house, and the use is critical"
say source risk expertise --as rosa --treat --reason "two engineers were trained; reviews are mandatory"
say source risk training-environment --as rosa --treat --reason "runs are sealed, without network"

# Data: known by digest, with its origin and the meaning of its columns.
columns=(--target income --positive '>50K' --sensitive sex --sensitive race --ignore fnlwgt
  --mutable hours_per_week --mutable workclass)
origin=(--source "UCI Adult, doi 10.24432/C5XW20" --owner emil --licence CC-BY-4.0 --trust partner)
say data register census-train data/adult_train.csv "${origin[@]}" "${columns[@]}" --as emil
say data register census-test data/adult_test.csv --purpose held_out "${origin[@]}" "${columns[@]}" --as emil
say data check census-train --as emil || true # findings are on record; the gate decides about them

# Criteria: sealed before training.
say gate seal criteria.toml --as sara
say gate countersign --as rosa --reason "each bound follows from our risk policy"

# Training: no line of train.py knows of this.
say run --as theo -- python train.py

# Validation opens the held-out set once; it exits 1 because a promise is proven broken.
say validate --as vera || true
verdict=0
say gate decide --env production --as amir || verdict=$?

# Nothing gets round the answer: there is no admission, so there is no deployment.
say init person otto --role operator --as olga
say deploy --env production --as otto || true

# One file for a stranger, re-checked by a program that shares no code with Custody.
say audit export -o bundle.json
say audit trust-root -o trust.json
say audit report -o report.html
printf '\n$ python -m custody_verify bundle bundle.json --trust trust.json\n'
python -m custody_verify bundle bundle.json --trust trust.json || true

# The model is of no use, so it is destroyed, with a certificate; in tier high that takes two persons.
say retire order --reason "unfair beyond the sealed tolerance" --as otto
say retire confirm --reason "seen, and agreed to" --as rosa
say retire --reason "unfair beyond the sealed tolerance" --yes --certificate retirement.json --as otto
say status
exit "$verdict"
