"""Drawing by the jobs of a cluster: each job draws a part of a run, and the parts are merged."""
