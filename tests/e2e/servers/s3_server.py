#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""An S3 server that verifies signatures: OpenStack Swift with its s3api, all of it in one process.

    s3_server.py PORT FOLDER

The access key is test:tester, its secret is testing, the region is test-region; there is one bucket, "models".
FOLDER must be on a file system with extended attributes. "ready" is written to stdout once it answers.
"""
import os
import sys

import eventlet

eventlet.monkey_patch()

# Debian's Python 3.11 has no inspect.getargspec any more, which some of Swift's libraries ask for.
import inspect  # noqa: E402

if not hasattr(inspect, "getargspec"):
    inspect.getargspec = inspect.getfullargspec

import eventlet.wsgi  # noqa: E402
from swift.account.server import AccountController  # noqa: E402
from swift.common import utils  # noqa: E402
from swift.common.ring import RingBuilder  # noqa: E402
from swift.container.server import ContainerController  # noqa: E402
from swift.obj.server import ObjectController  # noqa: E402

port, folder = int(sys.argv[1]), os.path.abspath(sys.argv[2])
devices = os.path.join(folder, "devices")
os.makedirs(os.path.join(devices, "disk"))

from swift.common import storage_policy  # noqa: E402

# What /etc/swift/swift.conf would say.
utils.HASH_PATH_SUFFIX, utils.HASH_PATH_PREFIX = b"s", b"p"
storage_policy._POLICIES = storage_policy.StoragePolicyCollection([storage_policy.StoragePolicy(0, "one", True)])


class Memory(dict):
    """What memcached would keep."""

    def __bool__(self):
        return True

    def get(self, key, *_, **__):
        return dict.get(self, key)

    def set(self, key, value, *_, **__):
        self[key] = value

    def incr(self, key, delta=1, *_, **__):
        self[key] = dict.get(self, key, 0) + delta
        return self[key]

    def delete(self, key, *_, **__):
        self.pop(key, None)


MEMORY = Memory()


def memory_factory(_conf, **_local):
    def with_memory(app):
        def answer(environment, start):
            environment["swift.cache"] = MEMORY
            return app(environment, start)
        return answer
    return with_memory


def make_ring(name, at):
    builder = RingBuilder(1, 1, 0)
    builder.add_dev({"id": 0, "region": 1, "zone": 1, "weight": 1.0, "ip": "127.0.0.1", "port": at, "device": "disk",
                     "replication_ip": "127.0.0.1", "replication_port": at})
    builder.rebalance()
    builder.get_ring().save(os.path.join(folder, name + ".ring.gz"))
    builder.save(os.path.join(folder, name + ".builder"))


def serve(controller, name):
    sock = eventlet.listen(("127.0.0.1", 0))
    make_ring(name, sock.getsockname()[1])
    conf = {"devices": devices, "mount_check": "false", "swift_dir": folder, "bind_ip": "127.0.0.1",
            "disable_fallocate": "true", "fallocate_reserve": "0"}
    eventlet.spawn(eventlet.wsgi.server, sock, controller(conf), log_output=False)


serve(AccountController, "account")
serve(ContainerController, "container")
serve(ObjectController, "object")

with open(os.path.join(folder, "proxy.conf"), "w") as file:
    file.write(f"""[DEFAULT]
swift_dir = {folder}
[pipeline:main]
pipeline = catch_errors memory s3api tempauth proxy-server
[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
node_timeout = 60
[filter:catch_errors]
use = egg:swift#catch_errors
[filter:memory]
paste.filter_factory = __main__:memory_factory
[filter:s3api]
use = egg:swift#s3api
location = test-region
s3_acl = false
[filter:tempauth]
use = egg:swift#tempauth
user_test_tester = testing .admin
""")
from paste.deploy import loadapp  # noqa: E402

sys.modules["__main__"].memory_factory = memory_factory
app = loadapp("config:" + os.path.join(folder, "proxy.conf"))

from swift.common.swob import Request  # noqa: E402

token = {"X-Auth-User": "test:tester", "X-Auth-Key": "testing"}
login = Request.blank("/auth/v1.0", headers=token).get_response(app)
made = Request.blank("/v1/AUTH_test/models", method="PUT",
                     headers={"X-Auth-Token": login.headers["X-Auth-Token"]}).get_response(app)
if made.status_int not in (201, 202):
    sys.exit(f"cannot make the bucket: {made.status}")
sock = eventlet.listen(("127.0.0.1", port), backlog=128)
print("ready", flush=True)
eventlet.wsgi.server(sock, app, log_output=False)
