"""Creates, starts, watches and aborts a session over gRPC, from reflection alone: no generated code, no .proto file.

Usage: second_client.py HOST:PORT. Needs grpcio and grpcio-reflection. Exits with 0 when every step went as documented.
"""

import sys

import grpc
from google.protobuf import descriptor_pool, json_format, message_factory
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

DETAILS = "grpc-status-details-bin"


class Service:
    """One service, with its methods as functions from JSON to JSON."""

    def __init__(self, channel, pool, name):
        self._channel, self._pool = channel, pool
        self._descriptor = pool.FindServiceByName(name)

    def call(self, method, request):
        return self._to_json(self._callable(method)(self._message(method, request), timeout=60))

    def stream(self, method, request):
        for message in self._callable(method)(self._message(method, request), timeout=60):
            yield self._to_json(message)

    def _callable(self, method):
        found = self._descriptor.FindMethodByName(method)
        kind = self._channel.unary_stream if found.server_streaming else self._channel.unary_unary
        return kind(
            f"/{self._descriptor.full_name}/{method}",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=message_factory.GetMessageClass(found.output_type).FromString,
        )

    def _message(self, method, request):
        kind = message_factory.GetMessageClass(self._descriptor.FindMethodByName(method).input_type)
        return json_format.ParseDict(request, kind(), descriptor_pool=self._pool)

    def _to_json(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self._pool)


def wrong_fields(pool, error):
    """The fields that a refusal names, read with the types that the server itself describes."""
    details = dict(error.trailing_metadata())[DETAILS]
    status = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.Status")).FromString(details)
    bad_request = message_factory.GetMessageClass(pool.FindMessageTypeByName("google.rpc.BadRequest"))()
    for detail in status.details:
        if detail.Unpack(bad_request):
            return [violation.field for violation in bad_request.field_violations]
    return []


def main(address):
    channel = grpc.insecure_channel(address)
    grpc.channel_ready_future(channel).result(timeout=30)
    database = ProtoReflectionDescriptorDatabase(channel)
    services = set(database.get_services())
    expected = {"squall.v1.SessionService", "squall.v1.FleetService", "grpc.health.v1.Health"}
    assert expected <= services, services
    pool = descriptor_pool.DescriptorPool(database)

    health = Service(channel, pool, "grpc.health.v1.Health").call("Check", {"service": "squall.v1.SessionService"})
    assert health == {"status": "SERVING"}, health

    sessions = Service(channel, pool, "squall.v1.SessionService")
    spec = {
        "title": "made from reflection",
        "experiments": [{"fault": {"latency": {"fixed_ms": "5"}}, "probability": 1.5}],
        "safety": {"max_affected_requests": 10},
    }
    create = {"parent": "tenants/acme", "spec": spec, "request_id": "second-client"}
    try:
        sessions.call("CreateSession", create)
        raise AssertionError("a probability of 1.5 was accepted")
    except grpc.RpcError as error:
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT, error
        assert wrong_fields(pool, error) == ["spec.experiments[0].probability"], error

    spec["experiments"][0]["probability"] = 0.5
    session = sessions.call("CreateSession", create)
    assert session["state"] == "SESSION_STATE_DRAFT", session
    name = session["name"]
    print("created", name)
    assert sessions.call("StartSession", {"name": name, "wait_for_shims": "10s"})["state"] == "SESSION_STATE_RUNNING"
    print("started", name)

    stages = []
    for snapshot in sessions.stream("WatchSession", {"name": name}):
        stages.append((snapshot["state"], snapshot["stop"]["stage"]))
        print("saw", *stages[-1])
        if len(stages) == 1:
            sessions.call("AbortSession", {"name": name, "reason": "seen enough"})
    assert stages[0] == ("SESSION_STATE_RUNNING", "STOP_STAGE_NONE"), stages
    assert stages[-1] == ("SESSION_STATE_ABORTED", "STOP_STAGE_STOPPED_PROVEN"), stages
    print("all stopped, proven")


if __name__ == "__main__":
    main(sys.argv[1])
