# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes real what the lab's API says: a container for each instance, database, cache, file system, load balancer."""
