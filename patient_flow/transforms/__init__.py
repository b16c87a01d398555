"""Pure Polars: frames in, frames out. No I/O, no clock ("now" is an argument), no environment, no Dagster."""
