"""Devices, their keys and their readings, and accounts with what they own."""

from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.http import StreamingHttpResponse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    PolymorphicProxySerializer,
    extend_schema,
    extend_schema_view,
)
from rest_framework import mixins, status, viewsets
from rest_framework.decorators import action
from rest_framework.exceptions import APIException, ErrorDetail, NotFound, ValidationError
from rest_framework.generics import get_object_or_404
from rest_framework.parsers import BaseParser
from rest_framework.request import Request
from rest_framework.response import Response

from devices import ingest, reading_ids, refusals, rows
from devices.exports import MEDIA_TYPES, export
from devices.filters import DeviceFilter
from devices.formats import READINGS_PARSERS, body_of
from devices.lookups import readings_in_window
from devices.models import Device, DeviceKey, Reading
from devices.pagination import ReadingPagination
from devices.permissions import DevicePermission
from devices.principals import DevicePrincipal
from devices.reading_ids import Content
from devices.serializers import (
    BatchQuery,
    CascadeQuery,
    DeletedSerializer,
    DeviceKeySerializer,
    DeviceReadingSerializer,
    DeviceSerializer,
    ExportQuery,
    NewDeviceKeySerializer,
    NewDeviceSerializer,
    NewReadingSerializer,
    OwnerSerializer,
    ReadingListQuery,
    ReadingSerializer,
    ReceiptSerializer,
)
from devices.windows import BoundedWindowQuery, query_of
from users.models import User
from users.permissions import may_write
from users.views import FORM_PARSERS, UserViewSet

ONE_OR_MANY = """\
One object: 201 and the reading, 200 if it was stored already. An array: 200 and a receipt; it is stored as a whole or,
with `partial`, without its bad rows. Whatever else comes than a 2xx, send it again, with its time: it is stored once.
"""
MANY_DEVICES = """\
As a gateway sends them: each row names its `device` by the id. All rows are stored or, with `partial`, the good ones.
"""
FORMATS = """

Besides JSON, with another `Content-Type`: `application/x-ndjson`, one object a line; or `text/csv`, with a header that
names the columns in any order. Each may be gzipped, with `Content-Encoding: gzip`. At most 100,000 rows and 16 MiB,
decompressed too, unless the service is set up otherwise.
"""
RECEIVED = {"received": 2, "created": 1, "duplicates": 1, "rejected_count": 0, "rejected": []}
ONE = {"recorded_at": "2026-01-01T00:00:00Z", "x": 1.0, "y": 0.5, "z": 9.81}
TWO = {"recorded_at": "2026-01-01T00:00:01Z", "x": 2.0, "y": 0.5, "z": 9.79}
EXAMPLES = [
    OpenApiExample("One reading", ONE, request_only=True),
    OpenApiExample("A batch", [ONE, TWO], request_only=True),
]
NEW_DEVICE = OpenApiExample("A pump", {"name": "Pump 2", "expected_interval": 1.0}, request_only=True)
RECEIPT = OpenApiExample("A receipt", RECEIVED, response_only=True, status_codes=["200"])
NEW_READINGS = PolymorphicProxySerializer(
    "NewReadings", [NewReadingSerializer, ReadingSerializer(many=True)], None, many=False
)
READING_ID = OpenApiParameter("reading_id", str, OpenApiParameter.PATH, description="A reading's `id`.")
STORED_READINGS = PolymorphicProxySerializer("StoredReadings", [ReadingSerializer, ReceiptSerializer], None)


class OwnsDevices(APIException):
    status_code = status.HTTP_409_CONFLICT
    default_code = "owns_devices"
    default_detail = "This user owns devices. Send ?cascade=true to delete them and their readings too."


class OwnerViewSet(UserViewSet):
    """Accounts, with the devices that each owns in its details."""

    detail_serializer_class = OwnerSerializer

    def get_queryset(self) -> QuerySet[User]:
        users = super().get_queryset()
        return users if self.action == "list" else users.prefetch_related("devices")

    @extend_schema(summary="Delete a user", parameters=[CascadeQuery], responses={204: None, 409: None})
    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """A user who owns devices is only deleted with `cascade=true`, and they with them; else 409 `owns_devices`."""
        return super().destroy(request, *args, **kwargs)

    def perform_destroy(self, instance: User) -> None:
        if query_of(self.request, CascadeQuery)["cascade"]:
            instance.devices.all().delete()
        try:
            instance.delete()
        except IntegrityError:  # among them ProtectedError; the database's own is for a device made meanwhile
            raise OwnsDevices from None


@extend_schema_view(
    list=extend_schema(summary="List devices", description="The caller's own; for staff everybody's."),
    retrieve=extend_schema(summary="Show a device"),
    update=extend_schema(
        summary="Replace a device", description="With all that is required; what else is left out stays."
    ),
    partial_update=extend_schema(summary="Change a device", description="What is left out stays as it is."),
    destroy=extend_schema(summary="Delete a device", description="Its keys, readings and analyses go with it."),
)
class DeviceViewSet(viewsets.ModelViewSet[Device]):
    serializer_class = DeviceSerializer
    permission_classes = [DevicePermission]
    parser_classes = FORM_PARSERS
    filterset_class = DeviceFilter
    lookup_value_regex = "[0-9]+"
    model = Device
    device_key_actions = ["retrieve", "latest"]

    def get_queryset(self) -> QuerySet[Device]:
        return Device.objects.visible_to(self.request.user).order_by("id")

    @extend_schema(
        summary="Create a device",
        request=DeviceSerializer,
        responses={201: NewDeviceSerializer},
        examples=[NEW_DEVICE],
    )
    def create(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """The answer holds the device's first key, which is shown this once."""
        serializer = self.get_serializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        with transaction.atomic():
            _, key = DeviceKey.issue(serializer.save())
        return Response({**serializer.data, "key": key}, status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="devices_latest_retrieve", summary="Show the newest reading", responses=ReadingSerializer
    )
    @action(detail=True, filterset_class=None, pagination_class=None)
    def latest(self, request: Request, pk: str) -> Response:
        """The reading of the device with the latest time; 404 while it has none."""
        readings = Reading.objects.filter(device=self.get_object()).newest_first()
        if (reading := readings.first()) is None:
            raise NotFound("This device has no readings yet.")
        return Response(ReadingSerializer(reading).data)


class DeviceScopeMixin(viewsets.GenericViewSet[Any]):
    """What lies below one device, by its id in the path."""

    permission_classes = [DevicePermission]
    device_key_actions: list[str] = []

    def get_device(self) -> Device:
        caller, device_id = self.request.user, self.kwargs["device_id"]
        if isinstance(caller, DevicePrincipal) and caller.device.pk == int(device_id):
            return caller.device  # its key has brought it along
        device: Device = get_object_or_404(Device.objects.visible_to(caller), pk=device_id)
        self.check_object_permissions(self.request, device)
        return device


@extend_schema_view(
    list=extend_schema(summary="List a device's keys"),
    destroy=extend_schema(summary="Revoke a key", description="It is refused from the next request on."),
)
class DeviceKeyViewSet(mixins.ListModelMixin, mixins.DestroyModelMixin, DeviceScopeMixin):
    """The keys that a device may show; several live side by side until they are revoked."""

    queryset = DeviceKey.objects.none()  # for the document; see get_queryset
    serializer_class = DeviceKeySerializer
    model = DeviceKey
    filterset_class = None
    lookup_field = "prefix"
    lookup_value_regex = "[0-9a-f]+"

    def get_queryset(self) -> QuerySet[DeviceKey]:
        return DeviceKey.objects.filter(device=self.get_device()).order_by("created_at")

    def get_object(self) -> DeviceKey:
        return get_object_or_404(self.get_queryset(), prefix=self.kwargs["prefix"])

    @extend_schema(summary="Issue a key", request=None, responses={201: NewDeviceKeySerializer})
    def create(self, request: Request, device_id: str) -> Response:
        """One more key, beside those there are. Give it to the device, see it used, then revoke the old one."""
        device_key, key = DeviceKey.issue(self.get_device())
        return Response({**self.get_serializer(device_key).data, "key": key}, status.HTTP_201_CREATED)


# What takes readings in, and keeps what it refused. (No docstring, as the document would take it for the views'.)
class RefusalsMixin(viewsets.GenericViewSet[Any]):
    def finalize_response(self, request: Request, response: Any, *args: Any, **kwargs: Any) -> Any:
        if self.action == "create":
            refusals.note(self.request, response, self.kwargs.get("device_id"))
        return super().finalize_response(request, response, *args, **kwargs)


@extend_schema_view(
    retrieve=extend_schema(summary="Show a reading", parameters=[READING_ID], description=""),
    update=extend_schema(summary="Replace a reading", parameters=[READING_ID], request=ReadingSerializer),
    partial_update=extend_schema(
        summary="Change a reading", parameters=[READING_ID], request=NewReadingSerializer(partial=True)
    ),
    destroy=extend_schema(summary="Delete a reading", parameters=[READING_ID], description=""),
)
class ReadingViewSet(RefusalsMixin, DeviceScopeMixin):
    queryset = Reading.objects.none()  # for the document; each action looks up its device first
    serializer_class = ReadingSerializer
    pagination_class = ReadingPagination
    model = Reading
    filterset_class = None
    device_key_actions = ["list", "retrieve", "create", "export"]

    def get_parsers(self) -> list[BaseParser]:
        is_batch = self.request is not None and self.request.method == "POST"
        return [parser() for parser in READINGS_PARSERS] if is_batch else super().get_parsers()

    @extend_schema(summary="List readings", parameters=[ReadingListQuery])
    def list(self, request: Request, device_id: str) -> Response:
        """The readings of a window, page by page."""
        query = query_of(request, ReadingListQuery)
        newest_first = query.pop("ordering").startswith("-")
        readings = readings_in_window(self.get_device().pk, **query)
        page = self.paginate_queryset(readings.newest_first() if newest_first else readings.oldest_first())
        return self.get_paginated_response(self.get_serializer(page, many=True).data)

    @extend_schema(
        summary="Send one reading, or many",
        description=ONE_OR_MANY + FORMATS,
        parameters=[BatchQuery],
        request=NEW_READINGS,
        responses={201: ReadingSerializer, 200: STORED_READINGS},
        examples=[*EXAMPLES, RECEIPT],
    )
    def create(self, request: Request, device_id: str) -> Response:
        """One reading: 201, or 200 if it is there already. A batch: 200 and a receipt."""
        device = self.get_device()
        body = body_of(request)
        if body.is_one_object:
            reading, created = ingest.receive_one(device, body.json())
            return Response(self.get_serializer(reading).data, 201 if created else 200)
        partial = query_of(request, BatchQuery)["partial"]
        if not device.is_active:  # `store` looks again under the lock, but a batch of bad rows does not get there
            raise ingest.DeviceInactive
        return Response(ReceiptSerializer(ingest.receive(body.batch(device.pk), partial)).data)

    @extend_schema(
        operation_id="devices_readings_export",
        summary="Export readings",
        parameters=[ExportQuery],
        responses={(200, "text/csv"): str, (200, "application/x-ndjson"): str},
    )
    def export(self, request: Request, device_id: str) -> StreamingHttpResponse:
        """The readings of a window, streamed whole, oldest first; what comes out can be posted back."""
        query = query_of(request, ExportQuery)
        file_format, device = query.pop("file_format"), self.get_device()
        readings = readings_in_window(device.pk, **query)
        response = StreamingHttpResponse(export(readings, file_format), content_type=MEDIA_TYPES[file_format])
        response["Content-Disposition"] = f'attachment; filename="device-{device.pk}.{file_format}"'
        return response

    def retrieve(self, request: Request, device_id: str, reading_id: str) -> Response:
        return Response(self.get_serializer(self._stored(self.get_device())).data)

    def update(self, request: Request, device_id: str, reading_id: str) -> Response:
        """Replace the reading: its id is another one then. Becoming equal to another reading merges the two."""
        device = self.get_device()
        row = ingest.checked_row(device, _without_identity(device, request.data))
        return Response(self.get_serializer(ingest.replace(device, self._content(), row)).data)

    def partial_update(self, request: Request, device_id: str, reading_id: str) -> Response:
        """Replace the reading by one that differs in the fields of the body."""
        device = self.get_device()
        changes = _without_identity(device, request.data)
        if isinstance(changes, dict):
            changes = {**self._fields(device), **changes}
        row = ingest.checked_row(device, changes)
        return Response(self.get_serializer(ingest.replace(device, self._content(), row)).data)

    def destroy(self, request: Request, device_id: str, reading_id: str) -> Response:
        ingest.delete_one(self.get_device(), self._content())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="devices_readings_destroy_window",
        summary="Delete the readings of a window",
        parameters=[BoundedWindowQuery],
        responses={200: DeletedSerializer},
    )
    def destroy_window(self, request: Request, device_id: str) -> Response:
        """Both bounds are required. The answer tells how many there were."""
        device = self.get_device()
        return Response({"deleted": ingest.delete_window(device, **query_of(request, BoundedWindowQuery))})

    def _content(self) -> Content:
        try:
            return reading_ids.decode(self.kwargs["reading_id"])
        except ValueError:
            raise NotFound from None

    def _stored(self, device: Device) -> Reading:
        return get_object_or_404(Reading, pk=(device.pk, *self._content()))

    def _fields(self, device: Device) -> dict[str, Any]:
        stored = self.get_serializer(self._stored(device)).data
        return {name: stored[name] for name in rows.OWN_FIELDS}


class ReadingBatchViewSet(RefusalsMixin):
    """Readings of many devices at once, as gateways send them."""

    serializer_class = ReceiptSerializer
    permission_classes = [DevicePermission]
    parser_classes = READINGS_PARSERS
    model = Reading
    device_key_actions = ["create"]

    @extend_schema(
        operation_id="readings_create",
        summary="Send readings of many devices",
        description=MANY_DEVICES + FORMATS,
        examples=[OpenApiExample("A batch", [{"device": 7, **ONE}], request_only=True), RECEIPT],
        parameters=[BatchQuery],
        request=DeviceReadingSerializer(many=True),
        responses={200: ReceiptSerializer},
    )
    def create(self, request: Request) -> Response:
        """A batch in which each row names its `device` by its id."""
        body = body_of(request)
        partial = query_of(request, BatchQuery)["partial"]
        devices = Device.objects.visible_to(request.user)
        if not isinstance(request.user, DevicePrincipal) and not may_write(request, Reading):
            devices = devices.filter(owner=request.user.pk)
        return Response(ReceiptSerializer(ingest.receive_of_many(body.batch(None), devices, partial)).data)


def _without_identity(device: Device, fields: Any) -> Any:
    """A body of PUT or PATCH without `id`, which follows from the rest, and `device`, which can't change."""
    if not isinstance(fields, dict):
        return fields
    if fields.get("device", device.pk) != device.pk or isinstance(fields.get("device"), bool):
        raise ValidationError({"device": ErrorDetail("A reading stays with its device.", "device_mismatch")})
    return {name: value for name, value in fields.items() if name not in ("id", "device")}
