# SPDX-License-Identifier: GPL-3.0-or-later
"""The lab's AWS API: moto's server, made stateful and strict, with its own DNS and instance metadata service.

Importing this package sets moto's options, because moto reads them from the environment when it is imported.
"""

from __future__ import annotations

import os
from pathlib import Path

_MOTO_OPTIONS = {
    # Only the images that the lab can really start.
    "MOTO_AMIS_PATH": str(Path(__file__).with_name("amis.json")),
    # As strict as AWS: unknown images, types and zones are refused.
    "MOTO_ENABLE_AMI_VALIDATION": "true",
    "MOTO_EC2_ENABLE_INSTANCE_TYPE_VALIDATION": "true",
    # Policies such as AmazonSSMManagedInstanceCore exist by their ARN.
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
    "MOTO_DISABLE_GLOBAL_CORS": "true",
    # There is one account; without this moto searches every partition for the owner of a key, at every request.
    "MOTO_ACCOUNT_ID": "123456789012",
}
os.environ.update(_MOTO_OPTIONS)
