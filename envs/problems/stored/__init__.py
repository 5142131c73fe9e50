"""Problems in files and tables: patterns of files, compressed files, and rows that are read when they are asked for."""
