"""Alerts without Dagster: findings, ledger, texts, runbook."""
