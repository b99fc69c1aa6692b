"""Receives what Tencent Cloud pushes, and tells a monitor how the process fares."""
