"""The chart's alerts and dashboard in a real Prometheus that scrapes real fleets."""
