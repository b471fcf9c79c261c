"""Throwaway Debian hosts on this machine: systemd-nspawn over an overlay, reached by SSH."""
