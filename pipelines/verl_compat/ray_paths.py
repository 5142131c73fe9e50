"""Keeps the folder that a run is started in off the path of Ray's workers.

Ray puts the driver's folder first on the path of every worker, before Python's own library: a `json.py` that lies beside a
recipe would be imported there. What a recipe's modules define is found without that (`named_code.py`).

    python -m tenfold.pipelines.verl_compat.ray_paths SETTING...        runs verl with these settings of Hydra's
"""

import sys
from typing import Any


def keep_folder_out() -> None:
    """Has every Ray that this process starts or joins add no folder to its workers' paths. Ray 2.60 has no setting for it."""
    from ray.job_config import JobConfig

    if "_get_proto_job_config" not in vars(JobConfig):  # or the folder would be back without a word
        raise RuntimeError("this version of Ray hands its workers their path in another way")
    made = JobConfig._get_proto_job_config
    if getattr(made, "keeps_folder_out", False):
        return

    def without_folders(self: Any) -> Any:
        self._py_driver_sys_path = []
        return made(self)

    without_folders.keeps_folder_out = True  # type: ignore[attr-defined]
    JobConfig._get_proto_job_config = without_folders


if __name__ == "__main__":
    from verl.trainer import main_ppo

    keep_folder_out()
    sys.argv = [str(main_ppo.__file__), *sys.argv[1:]]
    main_ppo.main()
