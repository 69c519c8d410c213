# SPDX-License-Identifier: GPL-3.0-or-later
"""The check before every request: a known key, a true signature, and a policy that allows it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from lab.api import backends
from lab.api.errors import AwsError
from lab.api.iam import signature
from lab.api.iam.dependents import needed_too
from lab.api.iam.permissions import action
from lab.api.iam.policy import Document, Question, Verdict, judge, parse
from lab.api.iam.principals import Principal, find
from lab.api.iam.resources import request_tags, resource_tags, resources, s3_object, secret_policy
from lab.api.request import AwsRequest
from lab.api.settings import ACCOUNT
from lab.api.state import Lab

# Nobody needs a permission to ask who they are, and AWS lets no policy forbid it.
_FREE = {("sts", "GetCallerIdentity")}
# Judged by the token that they bring: lab/api/services/web_identity.py.
_UNSIGNED = {("sts", "AssumeRoleWithWebIdentity"), ("sts", "AssumeRoleWithSAML")}
_ANYBODY = Principal(arn="anonymous", names=frozenset(), secret_key="", session_token=None, expires=None, policies=())


def authorize(lab: Lab, request: AwsRequest) -> None:
    """Raise AwsError unless the caller is known and may do this. Hold the lab's lock."""
    if not lab.settings.enforce_iam or (request.service, request.operation) in _UNSIGNED:
        return
    principal = _authenticate(request)
    if (request.service, request.operation) in _FREE:
        return
    permit(principal, request)


def permit(principal: Principal, request: AwsRequest) -> None:
    """Raise AwsError unless the caller's policies allow the request."""
    name = action(request)
    if request.operation == "AssumeRole":
        _permit_role(principal, request)
        return
    for arn in resources(request):
        context = _context(principal, request, arn)
        if not _allowed(principal, name, arn, context, _resource_policy(request)):
            raise _denied(request, principal, name, arn)
    if request.service == "s3" and request.operation in ("GetObject", "HeadObject"):
        _hide_missing_object(principal, request)
    for needed in needed_too(request):
        context = _context(principal, request, needed.arn) | needed.context
        if not _allowed(principal, needed.action, needed.arn, context, {}):
            raise _denied(request, principal, needed.action, needed.arn)


def _authenticate(request: AwsRequest) -> Principal:
    if request.access_key is None:
        if request.service == "s3":
            return _ANYBODY
        raise AwsError("MissingAuthenticationToken", "Missing Authentication Token", 403)
    principal = find(request.access_key)
    if principal is None:
        raise _unknown_key(request)
    if principal.session_token is not None and request.session_token != principal.session_token:
        raise _unknown_key(request)
    now = datetime.now(UTC)
    if principal.expires is not None and principal.expires < now:
        raise _expired(request)
    try:
        signature.check(request, principal.secret_key, now)
    except signature.BadSignature:
        raise _bad_signature(request) from None
    except signature.Expired as failure:
        raise _too_old(request, str(failure)) from None
    return principal


def _allowed(principal: Principal, name: str, arn: str, context: dict[str, Any], resource_policy: Document) -> bool:
    question = Question(name, arn, context)
    by_resource = judge([resource_policy], Question(name, arn, context, principals=principal.names))
    by_identity = judge(principal.policies, question)
    if Verdict.DENIED in (by_resource, by_identity):
        return False
    limited = [judge(limit, question) for limit in principal.limits]
    if Verdict.DENIED in limited:
        return False
    # A resource's policy that names the caller is enough within one account.
    if by_resource is Verdict.ALLOWED and not limited:
        return True
    return by_identity is Verdict.ALLOWED and all(verdict is Verdict.ALLOWED for verdict in limited)


def _resource_policy(request: AwsRequest) -> Document:
    if request.service == "s3":
        named = s3_object(request)
        bucket = backends.s3().buckets.get(named[0]) if named else None
        return parse(bucket.policy.decode()) if bucket is not None and bucket.policy else {}
    if request.service == "secretsmanager":
        return parse(secret_policy(request) or "{}")
    if request.service == "ecr":
        repository = backends.ecr(request.region).repositories.get(request.params.get("repositoryName"))
        # These policies name no resource: it is the repository.
        return parse(repository.policy) if repository is not None and repository.policy else {}
    return {}


def _context(principal: Principal, request: AwsRequest, arn: str) -> dict[str, Any]:
    now = datetime.now(UTC)
    context: dict[str, Any] = {
        **principal.context,
        "aws:PrincipalAccount": ACCOUNT,
        "aws:SourceIp": request.source,
        # The plain port stands for AWS's HTTPS; it is published on the machine's loopback only.
        "aws:SecureTransport": "true",
        "aws:RequestedRegion": request.region,
        "aws:CurrentTime": now.isoformat(timespec="seconds"),
        "aws:EpochTime": str(int(now.timestamp())),
        "aws:ViaAWSService": "false",
    }
    wanted = request_tags(request, arn)
    if wanted:
        context["aws:TagKeys"] = list(wanted)
    context |= {f"aws:RequestTag/{key}": value for key, value in wanted.items()}
    for key, value in resource_tags(request, arn).items():
        context[f"aws:ResourceTag/{key}"] = value
        context[f"{request.signing_name}:ResourceTag/{key}"] = value
    params = request.params
    if request.service == "s3":
        context |= {f"s3:{key.lower()}": str(params[key]) for key in ("Prefix", "Delimiter") if params.get(key)}
    if request.operation == "ChangeResourceRecordSets":
        records = [change["ResourceRecordSet"] for change in params["ChangeBatch"]["Changes"]]
        names = [str(record["Name"]).lower().rstrip(".") for record in records]
        context["route53:ChangeResourceRecordSetsNormalizedRecordNames"] = names
        context["route53:ChangeResourceRecordSetsRecordTypes"] = [str(record["Type"]) for record in records]
        actions = [str(change["Action"]) for change in params["ChangeBatch"]["Changes"]]
        context["route53:ChangeResourceRecordSetsActions"] = actions
    if request.service == "iam" and params.get("RoleName"):
        boundary = _boundary(request)
        context |= {"iam:PermissionsBoundary": boundary} if boundary else {}
    if request.service == "iam" and params.get("PolicyArn"):
        context["iam:PolicyARN"] = str(params["PolicyArn"])
    if request.service == "ec2" and params.get("InstanceType"):
        context["ec2:InstanceType"] = str(params["InstanceType"])
    if request.service == "secretsmanager" and params.get("SecretId"):
        context["secretsmanager:SecretId"] = arn
    return context


def _boundary(request: AwsRequest) -> str | None:
    """The boundary that a role gets by the request, or has."""
    if request.params.get("PermissionsBoundary"):
        return str(request.params["PermissionsBoundary"])
    role = next((role for role in backends.iam().roles.values() if role.name == request.params["RoleName"]), None)
    return role.permissions_boundary_arn if role is not None else None


def _permit_role(principal: Principal, request: AwsRequest) -> None:
    """Assuming a role needs the role's trust; the caller's own policy too, unless the trust names the caller."""
    arn = str(request.params.get("RoleArn"))
    role = next((role for role in backends.iam().roles.values() if role.arn == arn), None)
    context = _context(principal, request, arn)
    if request.params.get("ExternalId"):
        context["sts:ExternalId"] = str(request.params["ExternalId"])
    trust = parse(role.assume_role_policy_document) if role is not None else {}
    account = frozenset({ACCOUNT, f"arn:aws:iam::{ACCOUNT}:root"})
    named = judge([trust], Question("sts:AssumeRole", arn, context, principals=principal.names))
    trusted = judge([trust], Question("sts:AssumeRole", arn, context, principals=principal.names | account))
    own = judge(principal.policies, Question("sts:AssumeRole", arn, context))
    refused = Verdict.DENIED in (trusted, own)
    if refused or not (named is Verdict.ALLOWED or (trusted is Verdict.ALLOWED and own is Verdict.ALLOWED)):
        raise _denied(request, principal, "sts:AssumeRole", arn)


def _hide_missing_object(principal: Principal, request: AwsRequest) -> None:
    """Without s3:ListBucket a missing object is forbidden rather than missing."""
    named = s3_object(request)
    bucket = backends.s3().buckets.get(named[0]) if named else None
    if named is None or bucket is None or named[1] in bucket.keys:
        return
    arn = f"arn:aws:s3:::{named[0]}"
    context = _context(principal, request, arn)
    if not _allowed(principal, "s3:ListBucket", arn, context, _resource_policy(request)):
        raise _denied(request, principal, "s3:ListBucket", arn)


def _denied(request: AwsRequest, principal: Principal, name: str, arn: str) -> AwsError:
    message = f"User: {principal.arn} is not authorized to perform: {name}"
    if arn != "*":
        message += f" on resource: {arn}"
    message += f" because no identity-based policy allows the {name} action"
    if request.protocol == "ec2":
        return AwsError("UnauthorizedOperation", f"You are not authorized to perform this operation. {message}", 403)
    if request.service == "s3":
        return AwsError("AccessDenied", "Access Denied" if principal is _ANYBODY else message, 403)
    if request.protocol == "json":
        return AwsError("AccessDeniedException", message, 400)
    if request.protocol == "rest-json":
        return AwsError("AccessDeniedException", message, 403)
    return AwsError("AccessDenied", message, 403)


def _unknown_key(request: AwsRequest) -> AwsError:
    if request.protocol == "ec2":
        return AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if request.service == "s3":
        return AwsError("InvalidAccessKeyId", "The AWS Access Key Id you provided does not exist in our records.", 403)
    message = "The security token included in the request is invalid."
    if request.protocol in ("json", "rest-json"):
        return AwsError("UnrecognizedClientException", message, 400 if request.protocol == "json" else 403)
    return AwsError("InvalidClientTokenId", message, 403)


def _bad_signature(request: AwsRequest) -> AwsError:
    message = (
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method. Consult the service documentation for details."
    )
    if request.protocol == "ec2":
        return AwsError("AuthFailure", "AWS was not able to validate the provided access credentials", 401)
    if request.protocol in ("json", "rest-json"):
        return AwsError("InvalidSignatureException", message, 400 if request.protocol == "json" else 403)
    return AwsError("SignatureDoesNotMatch", message, 403)


def _expired(request: AwsRequest) -> AwsError:
    message = "The security token included in the request is expired"
    if request.protocol == "ec2":
        return AwsError("RequestExpired", "Request has expired.", 400)
    if request.protocol in ("json", "rest-json"):
        return AwsError("ExpiredTokenException", message, 400)
    return AwsError("ExpiredToken", message, 400 if request.service == "s3" else 403)


def _too_old(request: AwsRequest, message: str) -> AwsError:
    if request.protocol == "ec2":
        return AwsError("RequestExpired", "Request has expired.", 400)
    if request.service == "s3":
        return AwsError("RequestTimeTooSkewed", message, 403)
    if request.protocol in ("json", "rest-json"):
        return AwsError("InvalidSignatureException", message, 400)
    return AwsError("SignatureDoesNotMatch", message, 403)
