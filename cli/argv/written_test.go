package argv

import "testing"

func TestWritten(t *testing.T) {
	l := &Line{written: map[string]string{}}
	for _, name := range []string{"timeout", "prefix", "allow-ip", "method", "set-request-header", "rate-limit", "rate-limit-per", "cors-origin", "session-idle", "role", "org", "environment", "header"} {
		l.written[name] = "--" + name
	}
	l.written["environment"] = "-e"
	for field, want := range map[string]string{
		"timeout": "--timeout", "idle_timeout": "", "prefix": "--prefix", "allow_ips[0]": "--allow-ip", "methods": "--method",
		"request_headers.set": "--set-request-header", "response_headers.set": "", "rate_limit.requests": "--rate-limit", "rate_limit.per": "--rate-limit-per",
		"cors.allow_origins": "--cors-origin", "session.idle": "--session-idle", "role.a.permissions": "--role", "organization": "--org",
		"environment": "-e", "host_header": "", "name": "", "": "", "localhost:3000: timeout": "--timeout",
	} {
		if got := l.Written(field); got != want {
			t.Errorf("%q: %q, want %q", field, got, want)
		}
	}
}
