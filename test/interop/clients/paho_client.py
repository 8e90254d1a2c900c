"""Paho as a client that a test drives: one JSON command a line on stdin, one JSON event a line on stdout.

Commands: connect, subscribe, unsubscribe, publish, disconnect. Each is answered by an event of its
own (connected, refused, subscribed, unsubscribed, published, disconnected); messages come as
`message` events at any time. Killing the process is how the network gets lost.
"""
import json
import os
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

PROTOCOLS = {3: mqtt.MQTTv31, 4: mqtt.MQTTv311, 5: mqtt.MQTTv5}
NAMES = {
    "contentType": "ContentType",
    "responseTopic": "ResponseTopic",
    "correlationData": "CorrelationData",
    "userProperties": "UserProperty",
    "messageExpiryInterval": "MessageExpiryInterval",
    "willDelayInterval": "WillDelayInterval",
}
output = threading.Lock()


def say(event, **fields):
    with output:
        print(json.dumps({"event": event, **fields}), flush=True)


def to_properties(kind, fields):
    if not fields:
        return None
    properties = Properties(kind)
    for name, value in fields.items():
        if name == "correlationData":
            value = value.encode()
        if name == "userProperties":
            value = [tuple(pair) for pair in value]
        setattr(properties, NAMES[name], value)
    return properties


def from_properties(properties):
    fields = {}
    for name, attribute in NAMES.items():
        value = getattr(properties, attribute, None)
        if value is None:
            continue
        if name == "correlationData":
            value = value.decode()
        fields[name] = value
    return fields


def code(value):
    return value if isinstance(value, int) else value.value


def refused_in_thread(failure):
    # Where TLS fails after the handshake, Paho's thread dies of it and nobody would hear.
    say("refused", reason=repr(failure.exc_value))
    os._exit(0)


threading.excepthook = refused_in_thread


class Driver:
    def __init__(self):
        self.client = None
        self.version = 4

    def connect(self, command):
        self.version = command["version"]
        options = {"protocol": PROTOCOLS[self.version], "transport": command["transport"]}
        if self.version < 5:
            options["clean_session"] = command["clean"]
        client = mqtt.Client(command["clientId"], **options)
        self.client = client
        client.on_connect = self.on_connect
        client.on_disconnect = self.on_disconnect
        client.on_subscribe = self.on_subscribe
        client.on_unsubscribe = lambda *_: say("unsubscribed")
        client.on_message = self.on_message
        if command["transport"] == "websockets":
            client.ws_set_options(path="/mqtt")
        tls = command.get("tls")
        if tls:
            client.tls_set(tls["ca"], tls.get("cert"), tls.get("key"))
        if command.get("username"):
            client.username_pw_set(command["username"], command.get("password"))
        will = command.get("will")
        if will:
            properties = to_properties(PacketTypes.WILLMESSAGE, will.get("properties"))
            client.will_set(will["topic"], will["payload"], will["qos"], will["retain"], properties)
        arguments = {}
        if self.version == 5:
            properties = Properties(PacketTypes.CONNECT)
            properties.SessionExpiryInterval = command["sessionExpirySeconds"]
            arguments = {"clean_start": command["clean"], "properties": properties}
        try:
            client.connect(command["host"], command["port"], command["keepAliveSeconds"], **arguments)
        except Exception as error:
            say("refused", reason=str(error))
            os._exit(0)
        client.loop_start()

    def on_connect(self, _client, _userdata, flags, reason, _properties=None):
        if code(reason) == 0:
            say("connected", sessionPresent=flags["session present"] == 1)
        else:
            say("refused", code=code(reason))
            os._exit(0)

    def on_disconnect(self, _client, _userdata, reason, _properties=None):
        say("disconnected", code=code(reason))
        # Otherwise Paho would connect again by itself.
        if code(reason) != 0:
            os._exit(0)

    def on_subscribe(self, _client, _userdata, _mid, codes, _properties=None):
        say("subscribed", codes=[code(each) for each in codes])

    def on_message(self, _client, _userdata, message):
        properties = from_properties(message.properties) if self.version == 5 else {}
        say(
            "message",
            topic=message.topic,
            payload=message.payload.decode(),
            qos=message.qos,
            retain=bool(message.retain),
            properties=properties,
        )

    def subscribe(self, command):
        self.client.subscribe(command["filter"], command["qos"])

    def unsubscribe(self, command):
        self.client.unsubscribe(command["filter"])

    def publish(self, command):
        properties = to_properties(PacketTypes.PUBLISH, command.get("properties"))
        info = self.client.publish(command["topic"], command["payload"], command["qos"], command["retain"], properties)
        info.wait_for_publish(15)
        say("published" if info.is_published() else "unpublished")

    def disconnect(self, _command):
        self.client.disconnect()


driver = Driver()
for line in sys.stdin:
    request = json.loads(line)
    getattr(driver, request.pop("do"))(request)
