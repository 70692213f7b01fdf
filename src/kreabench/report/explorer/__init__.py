"""What a reader explores, as data: report.json, which the page's script reads too."""
