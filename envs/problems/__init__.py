"""What is posed: a URI becomes a sequence of problems. One row format a file."""
