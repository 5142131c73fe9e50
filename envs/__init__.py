"""What is asked. Environments are Gymnasium's: text in, text out."""
