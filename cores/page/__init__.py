"""The report of a built design as one page: report.html, for a browser without a network."""
