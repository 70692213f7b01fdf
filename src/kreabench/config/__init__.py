"""From Hydra's composed configuration to frozen specs. The only place that knows Hydra and OmegaConf."""
