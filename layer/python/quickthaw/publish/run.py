"""Verify, check sizes, send, attach: the four steps of `quickthaw publish`, in the order that loses least.

Everything that can be refused is refused before the first byte is sent; every
later failure takes back what this run made.  A dry run ends before the first
call that changes anything.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from quickthaw import names
from quickthaw.checkpoint.replace import replacing
from quickthaw.errors import QuickthawError, ToolFailed, UsageError
from quickthaw.publish import attach, limits, objects
from quickthaw.publish.aws import explained, lambda_client, s3_client
from quickthaw.publish.package import Package, choose, copy_files, write_zip
from quickthaw.publish.upload import split, upload
from quickthaw.secrets.wanted import AWS, Wanted

if TYPE_CHECKING:
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_lambda.type_defs import LayerVersionContentInputTypeDef

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True, kw_only=True)
class Order:
    """What to publish, and where to.

    Attributes:
        layer_name: a layer, of which a new version is made.
        s3: "BUCKET/PREFIX"; with `layer_name`, where its zip waits for Lambda.
        fetch: below `s3`, as objects that a function fetches at init, instead of a zip.
        image_dir: a directory for a Dockerfile's COPY; gets opt/snapshot.
        function: gets the layer version, or the name of what it fetches.
        beside: directories that lie on the same function (its code, other layers), for the sizes.
        images: CRIU's images too.
        dry_run: verify, check and weigh only.
        wanted: secrets that stand against it; the shapes of AWS's keys at the least.
        allow_secrets: names of those that may be in it.
    """

    snapshot: Path
    layer_name: str | None = None
    s3: str | None = None
    fetch: bool = False
    image_dir: Path | None = None
    function: str | None = None
    beside: tuple[Path, ...] = ()
    images: bool = False
    dry_run: bool = False
    region: str | None = None
    wanted: Wanted = Wanted(patterns=AWS)
    allow_secrets: tuple[str, ...] = ()
    active_s: float = attach.ACTIVE_S


@dataclass(frozen=True, kw_only=True)
class Published:
    """What came of it; None where nothing was asked for, or where it was a dry run.

    Attributes:
        id: of the snapshot.
        load: the function's parts as far as they are known, against Lambda's limits.
        sha256: of the zip, base64 as Lambda shows it.
        snapshot_uri: what QUICKTHAW_SNAPSHOT must be.
        doubts: why a function may start cold nevertheless.
    """

    id: str
    dry_run: bool
    load: limits.Load
    sha256: str | None = None
    layer_version_arn: str | None = None
    s3_object: str | None = None
    snapshot_uri: str | None = None
    directory: Path | None = None
    function: str | None = None
    doubts: tuple[str, ...] = ()


def publish(order: Order, on_progress: Progress = lambda _stage, _done: None) -> Published:
    """Does what the order says.

    Raises:
        UsageError: the order contradicts itself, or Lambda's limits.
        BadSnapshot: the snapshot is damaged.
        SecretFound: it holds a secret.
        ToolFailed, Unavailable: AWS refused, or cannot be reached; what is left behind is in the text.
    """
    _refuse_nonsense(order)
    on_progress("verify", None)
    package = choose(
        order.snapshot,
        images=order.images,
        wanted=order.wanted,
        allow=order.allow_secrets,
        on_progress=lambda done: on_progress("look for secrets", done),
    )
    if order.image_dir is not None:
        return _into_directory(order, package)
    if order.fetch:
        return _as_objects(order, package, on_progress)
    with tempfile.TemporaryDirectory(prefix="quickthaw-publish-") as scratch:
        file = Path(scratch) / f"{package.id}.zip"
        on_progress("zip", None)
        sha256 = write_zip(package, file)
        load = _load(order.beside, package, file.stat().st_size)
        if order.layer_name is not None:
            limits.refuse_too_large(load)
            return _as_layer(order, package, file, load, sha256, on_progress)
        return _as_object(order, package, file, load, sha256, on_progress)


def _refuse_nonsense(order: Order) -> None:
    if (order.layer_name is None and order.s3 is None) == (order.image_dir is None):
        raise UsageError(
            "nothing says where to publish, or too much does",
            hint="Give --layer-name, --s3 or --image-dir; --layer-name and --s3 go together.",
        )
    if order.fetch and (order.s3 is None or order.layer_name is not None):
        raise UsageError(
            "a snapshot is fetched from S3 or lies in a layer",
            hint="Give --fetch with --s3 and without --layer-name.",
        )
    if order.function is not None and order.layer_name is None and not order.fetch:
        raise UsageError(
            "a function gets its snapshot from a layer, or fetches it",
            hint="Give --layer-name too, or --s3 with --fetch.",
        )


def _load(beside: Sequence[Path], package: Package | None, zipped: int | None) -> limits.Load:
    own = () if package is None else (limits.Part(name="snapshot", unzipped=package.unzipped, zipped=zipped),)
    others = tuple(limits.Part(name=path.name, unzipped=limits.tree_bytes(path)) for path in beside)
    # The first of `beside` is the function's code, everything else a layer.
    return limits.Load(function="the function", parts=(*others, *own), layers=max(1, len(others)))


def _into_directory(order: Order, package: Package) -> Published:
    assert order.image_dir is not None
    target = order.image_dir / "opt" / "snapshot"
    if not order.dry_run:
        with replacing(target) as fresh:
            copy_files(package, fresh)
    return Published(
        id=package.id, dry_run=order.dry_run, load=_load((), package, None),
        directory=None if order.dry_run else target,
    )  # fmt: skip


def _as_objects(order: Order, package: Package, on_progress: Progress) -> Published:
    assert order.s3 is not None
    objects.refuse_unfit(package)
    bucket, prefix = split(order.s3)
    place = "/".join(part for part in (prefix, objects.directory(package)) if part)
    uri = f"{names.S3}{bucket}/{place}"
    storage = s3_client(order.region)
    functions = None if order.function is None else lambda_client(order.region)
    try:
        configuration = None
        if functions is not None and order.function is not None:
            configuration = attach.check(functions, order.function, package, None)
        made = Published(
            id=package.id, dry_run=order.dry_run, load=_load(order.beside, None, None),
            snapshot_uri=None if order.dry_run else uri, function=order.function,
            doubts=() if configuration is None else attach.doubts(configuration, fetches=True),
        )  # fmt: skip
        if order.dry_run:
            return made
        sent = objects.send(
            storage, package, bucket, place, on_progress=lambda done: on_progress("upload", done)
        )
        if functions is not None and order.function is not None and configuration is not None:
            on_progress(f"attach to {order.function}", None)
            change = attach.variable_change(configuration, uri)
            try:
                attach.attach(functions, order.function, configuration, change, active_s=order.active_s)
            except attach.StillAttached:
                raise
            except BaseException as error:
                objects.take_back(storage, bucket, sent, error)
                raise
        return made
    finally:
        storage.close()
        if functions is not None:
            functions.close()


def _as_object(
    order: Order, package: Package, file: Path, load: limits.Load, sha256: str, on_progress: Progress
) -> Published:
    where = None
    if not order.dry_run:
        where = _send(order, package, file, on_progress)
    return Published(
        id=package.id, dry_run=order.dry_run, load=load, sha256=sha256,
        s3_object=None if where is None else f"s3://{where[0]}/{where[1]}",
    )  # fmt: skip


def _send(order: Order, package: Package, file: Path, on_progress: Progress) -> tuple[str, str]:
    assert order.s3 is not None
    bucket, prefix = split(order.s3)
    key = "/".join(part for part in (prefix, f"{package.id}.zip") if part)
    client = s3_client(order.region)
    try:
        upload(client, file, bucket, key, on_progress=lambda done: on_progress("upload", done))
    finally:
        client.close()
    return bucket, key


def _as_layer(
    order: Order, package: Package, file: Path, load: limits.Load, sha256: str, on_progress: Progress
) -> Published:
    assert order.layer_name is not None
    if order.s3 is None and load.parts[-1].needs_s3:
        raise UsageError(
            f"the snapshot's zip has {limits.megabytes(file.stat().st_size)}; Lambda takes "
            f"{limits.megabytes(limits.DIRECT_ZIP_BYTES)} in a call",
            hint="Give --s3 BUCKET/PREFIX too: Lambda then fetches the zip from there.",
        )
    client = lambda_client(order.region)
    try:
        configuration = None
        if order.function is not None:
            configuration = attach.check(client, order.function, package, order.layer_name)
        made = Published(
            id=package.id, dry_run=order.dry_run, load=load, sha256=sha256, function=order.function,
            doubts=() if configuration is None else attach.doubts(configuration, fetches=False),
        )  # fmt: skip
        if order.dry_run:
            return made
        content: LayerVersionContentInputTypeDef = {}
        if order.s3 is not None:
            content["S3Bucket"], content["S3Key"] = _send(order, package, file, on_progress)
        else:
            content["ZipFile"] = file.read_bytes()
        on_progress("publish", None)
        arn = _new_version(client, order.layer_name, package, content, sha256)
        if order.function is not None and configuration is not None:
            on_progress(f"attach to {order.function}", None)
            try:
                change = attach.layer_change(configuration, arn)
                attach.attach(client, order.function, configuration, change, active_s=order.active_s)
            except attach.StillAttached:
                raise
            except BaseException as error:
                _take_back(client, arn, error)
                raise
    finally:
        client.close()
    return Published(
        **{
            **vars(made),
            "layer_version_arn": arn,
            "s3_object": None if order.s3 is None else f"s3://{content['S3Bucket']}/{content['S3Key']}",
        }
    )


def _new_version(
    client: LambdaClient, name: str, package: Package, content: LayerVersionContentInputTypeDef, sha256: str
) -> str:
    """Publishes a layer version and compares what Lambda has with what was sent."""
    with explained(f"layer {name}"):
        made = client.publish_layer_version(
            LayerName=name,
            Description=f"quickthaw snapshot {package.id} of {package.handler}",
            Content=content,
            CompatibleRuntimes=[package.python],  # type: ignore[list-item]
            CompatibleArchitectures=[package.architecture],  # type: ignore[list-item]
            LicenseInfo="as the function that is frozen in it",
        )
    arn = made["LayerVersionArn"]
    stored = made["Content"].get("CodeSha256")
    if stored != sha256:
        _delete(client, arn)
        raise ToolFailed(
            f"{arn} has SHA-256 {stored}, {sha256} was sent; it was deleted", hint="Publish it again."
        )
    return arn


def _take_back(client: LambdaClient, arn: str, error: BaseException) -> None:
    """Deletes our layer version; where that fails too, the error says that it is still there."""
    try:
        _delete(client, arn)
    except QuickthawError as second:
        raise ToolFailed(f"{error}; {arn} is left behind: {second}", hint="Delete it yourself.") from error


def _delete(client: LambdaClient, arn: str) -> None:
    name, _, version = arn.rpartition(":")
    with explained(f"delete {arn}"):
        client.delete_layer_version(LayerName=name.rpartition(":")[2], VersionNumber=int(version))
