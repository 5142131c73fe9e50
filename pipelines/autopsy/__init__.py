"""The autopsy of a reward: a GRPO stage's stored episodes, judged again by judges that it was not trained on."""
