"""What is read: one document, and renderers beside it (HTML, Markdown, CSV, figures). No torch, no back end."""
