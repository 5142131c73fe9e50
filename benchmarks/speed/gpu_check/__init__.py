"""The program that exercises and times a GPU: `python -m tenfold.benchmarks.speed.gpu_check`."""
