# -*- coding: utf-8 -*-
# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
"""Why AWS could not be asked at all, in one sentence that says what to change.

The variable is ``freehold_aws_connection``, from which every playbook takes its connection. The errors are those of
https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html and of botocore's credential providers.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Mapping
from typing import Any

with contextlib.suppress(ImportError):  # AnsibleAWSModule has refused to start without botocore.
    from botocore import exceptions as botocore_errors

VARIABLE = "freehold_aws_connection"

# What services call one and the same thing; EC2 has words of its own for most.
_EXPIRED = ("ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired")
_UNKNOWN = ("InvalidClientTokenId", "UnrecognizedClientException", "InvalidAccessKeyId", "AuthFailure")
_UNSIGNED = ("MissingAuthenticationToken", "MissingAuthenticationTokenException")
_BADLY_SIGNED = ("SignatureDoesNotMatch", "InvalidSignatureException", "IncompleteSignature")
_SKEWED = ("RequestTimeTooSkewed",)
_FORBIDDEN = ("AccessDenied", "AccessDeniedException", "UnauthorizedOperation")
# Errors of botocore while it fetches temporary credentials, by name: older versions lack the newer ones.
_SESSIONLESS = {
    "TokenRetrievalError",
    "SSOError",
    "LoginError",
    "CredentialRetrievalError",
    "RefreshWithMFAUnsupportedError",
}
# What IAM says of a signature whose time is not the present, e.g. "Signature expired: 20260101T000000Z is now earlier
# than ...", "Signature not yet current: ...".
_SKEWED_WORDS = ("Signature expired", "Signature not yet current")


def credentials_of(parameters: Mapping[str, Any]) -> str:
    """Whose credentials a module's parameters mean, e.g. ``the profile 'production' of freehold_aws_connection``."""
    if parameters.get("profile"):
        return f"the profile '{parameters['profile']}' of {VARIABLE}"
    if parameters.get("access_key"):
        return f"the access key {parameters['access_key']} of {VARIABLE}"
    return f"the credentials that this machine has without a profile in {VARIABLE}"


def contradiction(parameters: Mapping[str, Any]) -> str | None:
    """What is wrong with a module's parameters by themselves; None when nothing is."""
    profile, key, secret = (parameters.get(name) for name in ("profile", "access_key", "secret_key"))
    if profile and (key or secret or parameters.get("session_token")):
        return (
            f"{VARIABLE} has both keys and the profile '{profile}': leave one of them out, and unset AWS_PROFILE or"
            " AWS_ACCESS_KEY_ID where one of them comes from this shell's environment."
        )
    if bool(key) != bool(secret):
        missing = "access_key" if secret else "secret_key"
        return f"{VARIABLE} has half of a pair of keys: give it {missing} too, or neither and a profile."
    return None


def explain(error: Exception, parameters: Mapping[str, Any]) -> str | None:
    """The sentence for an error of botocore or AWS; None when it is about something other than the connection."""
    if isinstance(error, botocore_errors.ClientError):
        return _explain_answer(error, credentials_of(parameters))
    return _explain_silence(error, parameters)


def _explain_silence(error: Exception, parameters: Mapping[str, Any]) -> str | None:
    """The sentence for what went wrong before AWS answered."""
    profile = parameters.get("profile")
    if isinstance(error, botocore_errors.ProfileNotFound):
        files = [
            os.environ.get("AWS_CONFIG_FILE", "~/.aws/config"),
            os.environ.get("AWS_SHARED_CREDENTIALS_FILE", "~/.aws/credentials"),
        ]
        # Where none is given, botocore takes the environment variable's.
        name = profile or os.environ.get("AWS_PROFILE") or os.environ.get("AWS_DEFAULT_PROFILE")
        return (
            f"The AWS profile '{name}' of {VARIABLE} is neither in {files[0]} nor in {files[1]}: correct"
            f" {VARIABLE}.profile or the environment variable AWS_PROFILE, or make the profile (aws configure)."
        )
    if isinstance(error, (botocore_errors.NoCredentialsError, botocore_errors.PartialCredentialsError)):
        what = f"the profile '{profile}' of {VARIABLE} holds none" if profile else "this machine has none"
        return f"There are no AWS credentials, because {what}: give {VARIABLE} a profile that has some. {error}"
    if _SESSIONLESS & {kind.__name__ for kind in type(error).__mro__}:
        login = f"aws sso login --profile {profile}" if profile else "aws sso login"
        whose = credentials_of(parameters)
        return f"AWS gives no session for {whose}: log in again ({login}), or change {VARIABLE}. {error}"
    if isinstance(error, (botocore_errors.NoRegionError, botocore_errors.InvalidRegionError)):
        return f"{VARIABLE} names no region that exists: set {VARIABLE}.region or environment_region. {error}"
    if isinstance(error, (botocore_errors.HTTPClientError, botocore_errors.ConnectionError)):
        return (
            f"AWS can't be reached: look at this machine's network, at environment_region and at {VARIABLE}."
            f" {' '.join(str(error).split())}"
        )
    # botocore refuses an endpoint_url that is no URL this way.
    if isinstance(error, ValueError):
        return f"{VARIABLE} can't be used: {error}"
    return None


def _explain_answer(error: botocore_errors.ClientError, credentials: str) -> str | None:
    """The sentence for a refusal of AWS's own."""
    code = error.response.get("Error", {}).get("Code", "")
    said = error.response.get("Error", {}).get("Message", "")
    if code in _SKEWED or (code in _BADLY_SIGNED and said.startswith(_SKEWED_WORDS)):
        return f"This machine's clock is wrong, so AWS refuses {credentials}: set the clock. {said}"
    if code in _EXPIRED:
        return f"The session of {credentials} has expired: log in again, or change {VARIABLE}."
    if code in _UNKNOWN:
        return f"AWS does not know {credentials}, or the session that it came with: correct {VARIABLE}."
    if code in _UNSIGNED:
        return f"AWS got no credentials from {credentials}: correct {VARIABLE}."
    if code in _BADLY_SIGNED:
        return (
            f"AWS refuses {credentials}, because the secret key is not the one that belongs to it: correct {VARIABLE}."
        )
    if code in _FORBIDDEN:
        return f"AWS does not permit this to {credentials}: change its permissions, or {VARIABLE}. {said}"
    return None
