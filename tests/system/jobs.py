"""What an administrator asks of a mirror about its jobs."""

import json

from tests.harness import wait_until


class Admin:
    """Speaks to a mirror with the key of its cache."""

    def __init__(self, mirror):
        self._mirror = mirror

    def ask(self, method, path, **body):
        """Status and JSON."""
        token = (self._mirror.repos / "keys" / "admin").read_text().strip()
        status, _, answer = self._mirror.get(
            path,
            method=method,
            token=token,
            body=json.dumps(body) if body else None,
            headers={"Content-Type": "application/json"},
        )
        return status, json.loads(answer)

    def begin(self, repo, **wish):
        status, job = self.ask("POST", "/-/jobs", repo=repo, **wish)
        assert status == 201, job
        return job["id"]

    def job(self, id):
        status, job = self.ask("GET", f"/-/jobs/{id}")
        assert status == 200, job
        return job

    def act(self, id, act, **body):
        return self.ask("POST", f"/-/jobs/{id}/{act}", **body)

    def wait(self, id, state):
        """The job once it is in *state*."""
        wait_until(lambda: self.job(id)["state"] in (state, "failed", "cancelled"), f"job {id} {state}")
        job = self.job(id)
        assert job["state"] == state, job
        return job

    def wait_held(self, id, bytes):
        """Until the job holds more than *bytes* of its revision."""
        wait_until(lambda: self.job(id)["progress"]["bytes_held"] > bytes, f"{bytes} bytes held")
