# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles for workloads that some other party vouches for: OpenID Connect tokens, judged as AWS judges them.

https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html. AWS fetches the issuer's keys
from the issuer. The lab reaches nobody, so it has one issuer of its own, which stands in for GitHub's: whoever has the
lab's admin token gets tokens signed by it (POST /_lab/identity-token), as a workflow's job gets them from GitHub.
"""

from __future__ import annotations

import base64
import functools
import json
import time
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA256

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.iam.policy import Question, Verdict, judge, parse
from lab.api.operations import checks
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT

# https://docs.github.com/en/actions/reference/security/oidc
ISSUER = "https://token.actions.githubusercontent.com"
_KEY_ID = "lab"
# How long GitHub's tokens are good, in seconds.
_LIFE = 300
# AWS's own limit, in seconds.
_SHORTEST_SESSION = 900
_ACTION = "sts:AssumeRoleWithWebIdentity"


@functools.cache
def _key() -> rsa.RSAPrivateKey:
    """The issuer's key; like everything of the API, it ends with the process."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def identity_token(claims: Mapping[str, Any]) -> str:
    """Sign a token that says ``claims`` (at least sub and aud), as GitHub's issuer does for a job."""
    now = int(time.time())
    payload = {"iss": ISSUER, "iat": now, "nbf": now, "exp": now + _LIFE, **claims}
    signed = f"{_part({'alg': 'RS256', 'typ': 'JWT', 'kid': _KEY_ID})}.{_part(payload)}"
    signature = _key().sign(signed.encode(), padding.PKCS1v15(), SHA256())
    return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def _part(value: Mapping[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


@checks("sts", "AssumeRoleWithWebIdentity")
def check_web_identity(request: AwsRequest) -> None:
    """Refuse a token that the account has no reason to trust, and a role that does not trust the token's subject."""
    claims = _claims(str(request.params.get("WebIdentityToken") or ""))
    provider = _provider(claims)
    _permit(request, claims, provider)


def _claims(token: str) -> dict[str, Any]:
    """What a token says, if its issuer signed it and its time has not passed."""
    try:
        signed, _, signature = token.rpartition(".")
        header, payload = (json.loads(_decode(part)) for part in signed.split("."))
        given = _decode(signature)
        claims = dict(payload)
        issued_by = str(claims["iss"])
        times = int(claims["nbf"] if "nbf" in claims else claims["iat"]), int(claims["exp"])
        subject, audience = claims["sub"], claims["aud"]
    except (ValueError, TypeError, KeyError, AttributeError):
        raise AwsError(
            "InvalidIdentityToken",
            "The ID Token provided is not a valid JWT. (You may see this error if you sent an Access Token)",
        ) from None
    if not isinstance(subject, str) or not isinstance(audience, str):
        raise AwsError("InvalidIdentityToken", "The ID Token provided does not say one subject and one audience")
    _find(issued_by)
    if issued_by != ISSUER:
        raise AwsError("InvalidIdentityToken", "Couldn't retrieve verification key from your identity provider")
    try:
        if not isinstance(header, dict) or header.get("alg") != "RS256" or header.get("kid") != _KEY_ID:
            raise InvalidSignature
        _key().public_key().verify(given, signed.encode(), padding.PKCS1v15(), SHA256())
    except InvalidSignature:
        raise AwsError("InvalidIdentityToken", "Token signature invalid") from None
    now = time.time()
    if not times[0] <= now + 1 or now >= times[1]:
        message = f"Token expired: current date/time {int(now)} must be before the expiration date/time {times[1]}"
        raise AwsError("ExpiredTokenException", message)
    return claims


def _decode(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _find(issuer: str) -> Any:
    """The account's provider for an issuer."""
    known = backends.iam().open_id_providers.values()
    found = next((provider for provider in known if f"https://{provider.url}" == issuer), None)
    if found is None:
        raise AwsError("InvalidIdentityToken", f"No OpenIDConnect provider found in your account for {issuer}")
    return found


def _provider(claims: Mapping[str, Any]) -> Any:
    provider = _find(str(claims["iss"]))
    if claims["aud"] not in provider.client_id_list:
        raise AwsError("InvalidIdentityToken", "Incorrect token audience")
    return provider


def _permit(request: AwsRequest, claims: Mapping[str, Any], provider: Any) -> None:
    """The role's trust policy decides alone: who asks has no policies yet."""
    arn = str(request.params.get("RoleArn"))
    role = next((role for role in backends.iam().roles.values() if role.arn == arn), None)
    context = {
        "aws:FederatedProvider": provider.arn,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:SourceIp": request.source,
        "aws:SecureTransport": "true",
        **{f"{provider.url}:{name}": str(claims[name]) for name in ("aud", "sub")},
    }
    trust = parse(role.assume_role_policy_document) if role is not None else {}
    # Only who is named as a federated principal: the provider's ARN under "AWS" names nobody.
    federated = {
        **trust,
        "Statement": [statement for statement in _statements(trust) if _names(statement, provider.arn)],
    }
    question = Question(_ACTION, arn, context, principals=frozenset({provider.arn}))
    if role is None or judge([federated], question) is not Verdict.ALLOWED:
        raise AwsError("AccessDenied", f"Not authorized to perform {_ACTION}", 403)
    seconds = int(request.params.get("DurationSeconds") or 3600)
    if seconds < _SHORTEST_SESSION:
        message = f"Value '{seconds}' at 'durationSeconds' must be greater than or equal to {_SHORTEST_SESSION}"
        raise AwsError("ValidationError", message)
    if seconds > int(role.max_session_duration or 3600):
        message = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        raise AwsError("ValidationError", message)


def _statements(document: Mapping[str, Any]) -> list[Any]:
    found = document.get("Statement") or []
    return found if isinstance(found, list) else [found]


def _names(statement: Mapping[str, Any], arn: str) -> bool:
    """Whether a statement is about this provider; one that denies is about everybody whom it may mean."""
    if statement.get("Effect") == "Deny":
        return True
    principal = statement.get("Principal")
    named = principal.get("Federated") if isinstance(principal, Mapping) else None
    return arn in (named if isinstance(named, list) else [named])
