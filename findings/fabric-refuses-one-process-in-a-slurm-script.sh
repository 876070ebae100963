#!/usr/bin/env bash
# Lightning Fabric with one device, in the script of a Slurm job that has several tasks.
#
# Expected: a command in a job's script that srun does not start is one process, and Fabric(devices=1) works there as
#           anywhere else: srun alone would make it one of several.
# Seen:     lightning-fabric 2.6.5 goes by SLURM_NTASKS, which a job's script has too (Slurm 22.05: `sbatch --ntasks=2`), and
#           raises RuntimeError. With `--ntasks-per-node=2` it says nothing; in a job that is called `bash` or
#           `interactive` it does not look. What srun alone sets (SLURM_STEP_NUM_TASKS) is not looked at.
#           The variables below are those of such a job's script, as Slurm 22.05.8 had set them.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check torch==2.13.0 numpy==2.4.6 lightning-fabric==2.6.5
unset "${!SLURM_@}"
export SLURM_JOB_ID=7 SLURM_JOB_NAME=job.sh SLURM_NTASKS=2 SLURM_NPROCS=2 SLURM_PROCID=0 SLURM_LOCALID=0 SLURM_NODEID=0
export SLURM_NNODES=1 SLURM_NODELIST=first SLURM_JOB_NODELIST=first
cat > "$work/one.py" <<'PY'
from lightning_fabric import Fabric

try:
    print("processes:", Fabric(accelerator="cpu", devices=1).world_size)
except RuntimeError as error:
    print("refused:", error)
PY

"$work/venv/bin/python" "$work/one.py" 2> "$work/errors" | tee "$work/out"
grep -q "^refused: .*--ntasks=2" "$work/out"
SLURM_JOB_NAME=interactive "$work/venv/bin/python" "$work/one.py" 2> "$work/errors" | tee "$work/out"
grep -q "^processes: 1" "$work/out"
SLURM_NTASKS_PER_NODE=2 "$work/venv/bin/python" "$work/one.py" 2> "$work/errors" | tee "$work/out"
grep -q "^processes: 1" "$work/out"
