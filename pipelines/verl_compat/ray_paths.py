"""Keeps the working folder of a run off `sys.path` in Ray's workers.

Ray puts the driver's folder first on the path of each worker, before Python's own library, so a `json.py` beside a recipe would
be imported. Modules that a recipe names are found in another way (`named_code.py`).

    python -m tenfold.pipelines.verl_compat.ray_paths SETTING...        runs verl with these Hydra settings
"""

import sys
from typing import Any


def keep_folder_out() -> None:
    """Makes the Ray of this process add no folder to its workers' paths. Ray 2.60 has no setting for this.

    Raises:
        RuntimeError: this version of Ray sends the path in another way.
    """
    from ray.job_config import JobConfig

    if "_get_proto_job_config" not in vars(JobConfig):  # else the folder would be on the path without an error
        raise RuntimeError(
            "this version of Ray sends the driver's path to its workers in another way; install a tested version"
        )
    original = JobConfig._get_proto_job_config
    if getattr(original, "keeps_folder_out", False):
        return

    def without_folders(self: Any) -> Any:
        self._py_driver_sys_path = []
        return original(self)

    without_folders.keeps_folder_out = True  # type: ignore[attr-defined]
    JobConfig._get_proto_job_config = without_folders


if __name__ == "__main__":
    from verl.trainer import main_ppo

    keep_folder_out()
    sys.argv = [str(main_ppo.__file__), *sys.argv[1:]]
    main_ppo.main()
