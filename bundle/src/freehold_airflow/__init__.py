# SPDX-License-Identifier: GPL-3.0-or-later
"""What Freehold adds to Airflow itself. Installed in the image that every component runs."""
