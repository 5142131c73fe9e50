// Runs before the first paint, so that the chosen colours do not appear late.
try {
  const chosen = localStorage.getItem("tenfold-view-scheme");
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.scheme = chosen;
} catch {
  // storage may be refused; the colours of the system are used
}
