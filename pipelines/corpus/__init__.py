"""From raw text to training tokens: stages that gather, clean, tag, retrieve, select and mix documents."""
