"""Receives webhooks with the packages standardwebhooks and cloudevents, and prints what it makes of each request.

Its argument is the shared secret.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from cloudevents.core.bindings.http import HTTPMessage, from_http_event
from standardwebhooks import Webhook, WebhookVerificationError

hook = Webhook(sys.argv[1])


class Receiver(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        headers = {name.lower(): value for name, value in self.headers.items()}
        seen = {"id": headers.get("webhook-id")}
        try:
            hook.verify(body, headers)
            seen["shared"] = True
            event = from_http_event(HTTPMessage(headers=headers, body=body))
            seen.update(
                type=event.get_type(), source=event.get_source(), subject=event.get_subject(), data=event.get_data()
            )
            try:
                hook.verify(body + b" ", headers)
            except WebhookVerificationError:
                seen["tampered"] = "refused"
        except Exception as error:  # whatever it is, the test shows it
            seen["error"] = repr(error)
        print(json.dumps(seen), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Receiver)
print(json.dumps({"port": server.server_port}), flush=True)
server.serve_forever()
