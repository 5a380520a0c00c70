"""botocore: credentials that believe to know when they end, and clients of another region.

The keys themselves are put in place by `copies`.  What is left here are
RefreshableCredentials (made where AWS_CREDENTIAL_EXPIRATION was set): they
would ask for new ones at once, and fail where the variable is gone.

A client's region is in its endpoint, its signer and its rules; it cannot be
changed afterwards.  Clients made for the checkpoint's region in a function
that runs in another one would send requests to the wrong place: a cold start.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from quickthaw.errors import Declined
from quickthaw.runtime.renewal import heap

_REGIONS = ("AWS_DEFAULT_REGION", "AWS_REGION")  # botocore reads the first, Lambda sets both
_KEY = "AWS_ACCESS_KEY_ID"
_EXPIRATION = "AWS_CREDENTIAL_EXPIRATION"


class Clients:
    """What botocore holds at the freeze.

    Attributes:
        refreshable: RefreshableCredentials with the checkpoint's keys.
        regional: services with a client for the checkpoint's region.
        region: the checkpoint's region.
    """

    def __init__(self) -> None:
        self.refreshable: list[Any] = []
        self.regional: list[str] = []
        self.region: str | None = None


def remember(started: Mapping[str, str]) -> Clients:
    """Finds them.

    Args:
        started: the environment that the process was started with.
    """
    found = Clients()
    found.region = _region(started)
    credentials, clients = sys.modules.get("botocore.credentials"), sys.modules.get("botocore.client")
    if credentials is not None:
        found.refreshable = [
            thing
            for thing in heap.instances(credentials.RefreshableCredentials)
            if vars(thing).get("_access_key") == started.get(_KEY)
        ]
    if clients is not None:
        found.regional = sorted(
            client.meta.service_model.service_name
            for client in heap.instances(clients.BaseClient)
            if hasattr(client, "meta") and client.meta.region_name == found.region
        )
    return found


def renew(clients: Clients) -> None:
    """Call when the environment is the new one and `copies` are renewed.

    Raises:
        Declined: there are clients, and the function now runs in another region.
    """
    region = _region(os.environ)
    if clients.regional and region != clients.region:
        raise Declined(
            f"the snapshot has clients for {clients.region} ({', '.join(clients.regional)}), the function"
            f" runs in {region}; freeze with --env AWS_REGION={region} --env AWS_DEFAULT_REGION={region}"
        )
    for thing in clients.refreshable:
        ends = os.environ.get(_EXPIRATION)
        thing._expiry_time = _moment(ends) if ends else None  # None: they do not expire
        thing._frozen_credentials = thing._frozen_credentials._replace(
            access_key=thing._access_key, secret_key=thing._secret_key, token=thing._token
        )


def _moment(text: str) -> Any:
    return sys.modules["botocore.credentials"]._parse_if_needed(text)


def _region(environ: Mapping[str, str]) -> str | None:
    return next((environ[name] for name in _REGIONS if environ.get(name)), None)
