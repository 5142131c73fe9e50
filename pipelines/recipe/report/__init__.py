"""The output of a run: what the terminal shows, and the page `report.html`."""
