"""`tenfold view`: runs and benchmarks in a browser. A server reads the files of runs, and writes only to the cache."""
