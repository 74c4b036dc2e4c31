"""The Grafana dashboard: what it shows (`panel` and the modules of rows), and its form (`form`)."""
