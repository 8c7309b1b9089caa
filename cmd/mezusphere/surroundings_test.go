package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mezusphere/mezu/cli/variable"
)

// Issue 7, row 25: what Kubernetes makes for a Service whose name makes a variable of ours
// changes no setting, and what somebody sets in its place does.
func TestRow25KubernetesVariables(t *testing.T) {
	env := map[string]string{"MEZUSPHERE_STATE": "/s", "MEZUSPHERE_DOMAIN": "a.example\r\n"}
	for _, service := range []string{"MEZU", "MEZUSPHERE", "WARPGATE", "MEZU_API", "MEZUSPHERE_PUBLIC", "MEZUSPHERE_API", "MEZUSPHERE_NAME"} {
		env[service+"_SERVICE_HOST"], env[service+"_SERVICE_PORT"], env[service+"_SERVICE_PORT_HTTPS"] = "10.0.0.1", "443", "443"
		env[service+"_PORT"], env[service+"_PORT_443_TCP"] = "tcp://10.0.0.1:443", "tcp://10.0.0.1:443"
		env[service+"_PORT_443_TCP_PROTO"], env[service+"_PORT_443_TCP_PORT"], env[service+"_PORT_443_TCP_ADDR"] = "tcp", "443", "10.0.0.1"
	}
	getenv := variable.Read(func(k string) string { return env[k] })
	c, err := load(t.Context(), roleAll, "", nil, getenv)
	want := defaults()
	want.State, want.Domain = "/s", "a.example"
	if err != nil || fmt.Sprint(*c) != fmt.Sprint(*want) {
		t.Errorf("%v\n%+v\nwant\n%+v", err, c, want)
	}
	env["MEZUSPHERE_PUBLIC_PORT"] = "8443"
	if c, err := load(t.Context(), roleAll, "", nil, getenv); err != nil || c.PublicPort != 8443 {
		t.Errorf("a port of one's own: %+v, %v", c, err)
	}
	delete(env, "MEZUSPHERE_PUBLIC_SERVICE_HOST")
	env["MEZUSPHERE_PUBLIC_PORT"] = "tcp://10.0.0.1:443"
	if _, err := load(t.Context(), roleAll, "", nil, getenv); err == nil || !strings.Contains(err.Error(), "MEZUSPHERE_PUBLIC_PORT") {
		t.Errorf("no Service: %v", err)
	}
}

// Row 25: a configuration as some editors write it, and numbers that readers of YAML
// understand differently.
func TestRow25ConfigurationFile(t *testing.T) {
	for text, want := range map[string]string{
		"\ufeffstate: /s\r\ndomain: example.com\r\npublic_port: 8443\r\n": "",
		"state:\ndomain: example.com\n":                                   "",
		"public_port: 0443\n":                                             `"0443" is octal`,
		"public_port: 0x1bb\n":                                            "not a number in decimal",
		"public_port: 0o443\n":                                            "not a number in decimal",
		"max_conns: 1_000\n":                                              "not a number in decimal",
		"call_rate: 1e3\n":                                                "not a number in decimal",
		"api_addr: \":08080\"\n":                                          "",
		"api_addr: \":0x50\"\n":                                           "api_addr: is host:port",
		"\xff\xfes\x00t\x00a\x00t\x00e\x00":                               "config.yaml",
	} {
		code, _, talk := mezusphere(nil, "check", "--config", write(t, text))
		if ok := code == 0 || strings.Contains(talk, "nothing yet"); ok != (want == "") || !strings.Contains(talk, want) {
			t.Errorf("%q: code %d, %s; want %q", text, code, talk, want)
		}
	}
	for flag, want := range map[string]int{"08443": 8443, "0443": 443} {
		if c, err := load(t.Context(), roleControl, "", []given{{"state", "/s"}, {"domain", "a.example"}, {"public-port", flag}}, func(string) string { return "" }); err != nil || int(c.PublicPort) != want {
			t.Errorf("--public-port %s: %+v, %v", flag, c, err)
		}
	}
	if code, _, talk := mezusphere(nil, "control", "--public-port", "0x1bb"); code != 2 || !strings.Contains(talk, "not a number") {
		t.Errorf("code %d, %s", code, talk)
	}
}

// Row 25: an operator's token with a line end works; what is none is told.
func TestRow25OperatorToken(t *testing.T) {
	env := map[string]string{"MEZU_API": "https://127.0.0.1:1\n", "MEZU_TOKEN": "mezu_x\ny"}
	code, _, talk := mezusphere(env, "join-token", "create")
	if code != 2 || !strings.Contains(talk, "MEZU_TOKEN: holds more than one line") {
		t.Errorf("code %d, %s", code, talk)
	}
	env["MEZU_TOKEN"] = "mezu_x\r\n"
	if code, _, talk = mezusphere(env, "join-token", "create"); code != 6 || !strings.Contains(talk, "connection refused") {
		t.Errorf("code %d, %s", code, talk)
	}
}
