"""tau2-bench: the policy is a service agent, and another policy simulates its user."""
