package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/cli/invocation"
	"github.com/mezusphere/mezu/cli/terminal"
	"github.com/mezusphere/mezu/testkit"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/golang/glog.(*fileSink).flushDaemon"))
}

// mezusphere runs the program to its end.
func mezusphere(env map[string]string, args ...string) (code int, out, talk string) {
	var stdout, stderr bytes.Buffer
	code = run(context.Background(), args, func(k string) string { return env[k] }, terminal.Streams{Out: &stdout, Err: &stderr})
	return code, stdout.String(), stderr.String()
}

func write(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestPrecedence(t *testing.T) {
	file := write(t, "domain: file.example\nname: from-file\napi_hosts: [a.example, b.example]\nmax_conns: 10\nstate: /s\n")
	env := map[string]string{"MEZUSPHERE_NAME": "from-env", "MEZUSPHERE_MAX_CONNS": "20", "MEZUSPHERE_CONFIG": file, "MEZU_CA_FILE": "ca.pem"}
	c, err := load(t.Context(), roleAll, "", []given{{"max-conns", "30"}}, func(k string) string { return env[k] })
	if err != nil {
		t.Fatal(err)
	}
	if c.Domain != "file.example" || c.Name != "from-env" || c.MaxConns != 30 || len(c.APIHosts) != 2 || c.CAFile != "ca.pem" || c.HTTPSAddr != ":443" {
		t.Errorf("%+v", c)
	}
}

// TestEveryKeyIsAFlag: the file, the flags and the variables know the same keys.
func TestEveryKeyIsAFlag(t *testing.T) {
	c := defaults()
	for _, k := range c.keys() {
		value := "7"
		if err := k.set(value); err != nil {
			t.Errorf("%s: %v", k.name, err)
		}
		yaml := write(t, k.name+": 7\n")
		if strings.HasSuffix(k.name, "hosts") || k.name == "quotas" || k.name == "unlimited_addresses" {
			yaml = write(t, k.name+": [a]\n")
		}
		if err := defaults().readFile(t.Context(), yaml); err != nil {
			t.Errorf("%s is no key of the file: %v", k.name, err)
		}
	}
	if n, fields := len(c.keys()), reflect.TypeFor[config]().NumField(); n != fields {
		t.Errorf("%d keys, and config has %d fields", n, fields)
	}
}

// What an address may take is checked with everything else, and names its setting.
func TestAllowances(t *testing.T) {
	for text, want := range map[string]string{
		"unlimited_addresses: [10.0.0.0/8, balancer]\n": "unlimited_addresses[1]",
		"address_connections: -1\n":                     "address_connections",
		"address_request_burst: 2000000\n":              "address_request_burst",
	} {
		_, err := load(t.Context(), roleEdge, write(t, "state: /s\ncontrol: https://x\n"+text), nil, func(string) string { return "" })
		if e, ok := errors.AsType[*mezu.Error](err); !ok || e.Field != want {
			t.Errorf("%s: %v", text, err)
		}
	}
	c, err := load(t.Context(), roleEdge, write(t, "state: /s\ncontrol: https://x\nunlimited_addresses: [10.0.0.1, \"2001:db8::/32\"]\naddress_requests: 5\n"), nil, func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	if a, err := c.allowances(); err != nil || a.Requests != 5 || a.RequestBurst != 10 || a.Connections != 512 || len(a.Unlimited) != 2 {
		t.Errorf("%+v, %v", a, err)
	}
}

func TestC7StrictConfiguration(t *testing.T) {
	for text, want := range map[string]string{
		"state: /s\ndomian: x.example\n":  "[2:1]",
		"state: /s\nstate: /t\n":          "[2:1]",
		"state: /s\npublic_port: many\n":  "[2:14]",
		"state: [\n":                      "config.yaml",
		"public_port: 0\n":                "public_port: is between 1 and 65535",
		"max_conns: 99999\n":              "max_conns",
		"https_addr: nowhere\n":           "https_addr: is host:port",
		"tls_cert: a.pem\n":               "tls_cert",
		"name: Not A Name\n":              "name",
		"archive: /var/archive\n":         "archive: is dir:PATH",
		"founders: everybody\n":           "founders: is operators or members",
		"team_signup: closed\n":           "team_signup: is invite or open",
		"device_login: maybe\n":           "device_login: is true or false",
		"quotas: [orgs=1]\n":              "quotas: there is no quota",
		"log_level: loud\n":               "log-level",
		"domain: Upper.Example:1\n":       "domain",
		"control: http://x\n":             "control",
		"ca_file: /nowhere\n":             "try: --ca-file FILE with the installation's ca.pem",
		"join_token_file: /nowhere\n":     "join_token_file",
		"smtp_from: a@acme.example\n":     "smtp_address",
		"smtp_address: acme.example:25\n": "smtp_from",
		strings.Repeat("# long\n", 10000): "more than",
	} {
		code, _, talk := mezusphere(nil, "check", "--config", write(t, text))
		if code == 0 || !strings.Contains(talk, want) {
			t.Errorf("%.30q: code %d, %s; want %q", text, code, talk, want)
		}
	}
	for _, good := range []string{"", "# nothing\n", "state: /nowhere/yet\ndomain: example.com\n", "log_format: json\nmax_conns: 16384\n", "quotas: [projects=5, users=10]\n", "device_login: false\n"} {
		if code, _, talk := mezusphere(nil, "check", "--config", write(t, good)); code != 0 && !strings.Contains(talk, "nothing yet") {
			t.Errorf("%q: code %d, %s", good, code, talk)
		}
	}
}

func TestCheckARole(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"control without state":  {[]string{"check", "control"}, "state"},
		"control without domain": {[]string{"check", "control", "--state", "/s"}, "domain"},
		"edge without control":   {[]string{"check", "edge", "--state", "/s"}, "control"},
		"flag of another role":   {[]string{"check", "edge", "--domain", "x"}, "domain"},
		"a word too many":        {[]string{"check", "edge", "--state", "/s", "--control", "https://x", "more"}, "more"},
	} {
		code, _, talk := mezusphere(nil, c.args...)
		if code != 2 || !strings.Contains(talk, c.want) {
			t.Errorf("%s: code %d, %s", name, code, talk)
		}
	}
	file := write(t, "state: /s\n")
	for want, args := range map[string][]string{
		"good for: mezusphere edge\n":                                          {"check", "edge", "--state", "/s", "--control", "https://x"},
		"good for: mezusphere control\n":                                       {"check", "--config", file, "--domain", "a.example", "control"},
		"good for: mezusphere all\n":                                           {"check", "--config=" + file, "all", "--domain", "a.example"},
		"good for: mezusphere control, mezusphere all (edge lacks control)\n":  {"check", "--config", write(t, "state: /s\ndomain: a.b\n")},
		"good for: mezusphere edge (control lacks domain, all lacks domain)\n": {"check", "--config", write(t, "state: /s\ncontrol: https://x\n")},
	} {
		if code, _, talk := mezusphere(nil, args...); code != 0 || talk != want {
			t.Errorf("%q: code %d, %s", args, code, talk)
		}
	}
	for want, args := range map[string][]string{
		"good for: nothing yet: control lacks state, edge lacks state, all lacks state\n  try: say which": {"check", "--config", write(t, "domain: a.b\n")},
		"domain: is missing":    {"check", "--config", file, "control"},
		"did you mean control?": {"check", "--config", file, "contrl"},
		"check takes one of control, edge and all, not edge and \"all\"\n": {"check", "edge", "all"},
	} {
		if code, _, talk := mezusphere(nil, args...); code != 2 || !strings.Contains(talk, want) {
			t.Errorf("%q: code %d, %s", args, code, talk)
		}
	}
}

func TestUsage(t *testing.T) {
	for _, args := range [][]string{nil, {"help"}, {"--help"}, {"edge", "--help"}, {"join-token", "--help"}, {"join-token", "create", "-h"}, {"version"}} {
		if code, out, talk := mezusphere(nil, args...); code != 0 || out == "" || talk != "" {
			t.Errorf("%q: code %d, %q, %q", args, code, out, talk)
		}
	}
	if _, out, _ := mezusphere(nil, "edge", "--help"); !strings.Contains(out, "--join-token-file FILE") || strings.Contains(out, "--api-addr") {
		t.Errorf("help of edge: %s", out)
	}
	for _, args := range [][]string{{"egde"}, {"edge", "--no-such"}, {"edge"}, {"join-token"}, {"join-token", "create"}, {"join-token", "create", "--api", "https://x"}, {"control", "--public-port", "x", "--state", "/s", "--domain", "x"}} {
		if code, out, talk := mezusphere(nil, args...); code != 2 || out != "" || !strings.Contains(talk, "mezusphere: ") {
			t.Errorf("%q: code %d, %q, %q", args, code, out, talk)
		}
	}
}

// A file that a flag names and that is not there is named with what to name instead.
func TestMissingFiles(t *testing.T) {
	for want, args := range map[string][]string{
		"config: open /nowhere: no such file or directory\n  try: name a YAML file that this user may read, or leave --config":             {"check", "--config", "/nowhere"},
		"config: / is a directory and not a file\n  try: name a regular file\n":                                                            {"control", "--config", "/"},
		"ca-file: open /nowhere: no such file or directory\n  try: --ca-file FILE with the installation's ca.pem":                          {"keys", "show", "--api", "https://127.0.0.1:1", "--token-file", write(t, "mezu_x"), "--ca-file", "/nowhere"},
		"ca-file: reading CA certificates: open /nowhere: no such file or directory\n  try: --ca-file FILE with the installation's ca.pem": {"edge", "--state", t.TempDir(), "--control", "https://127.0.0.1:1", "--ca-file", "/nowhere", "--https-addr", "127.0.0.1:0", "--admin-addr", ""},
	} {
		if code, _, talk := mezusphere(nil, args...); code != 2 || !strings.Contains(talk, want) {
			t.Errorf("%q: code %d, %s", args, code, talk)
		}
	}
}

// Who asks for JSON gets errors as JSON, as of mezu.
func TestErrorsAsJSON(t *testing.T) {
	for want, args := range map[string][]string{
		`{"code":"invalid","message":"mezusphere has no command \"egde\"","hint":"did you mean: mezusphere edge","exit_code":2}`:                       {"egde", "--json"},
		`{"code":"not_found","message":"there is no state of a control plane: stat /nowhere: no such file or directory","hint":"--state is the folder`: {"operator", "reset", "--state", "/nowhere", "--json"},
		`{"code":"unavailable","message":"https://127.0.0.1:1 is unreachable: nothing listens there (connection refused)","hint":"is the control`:      {"keys", "show", "--api", "https://127.0.0.1:1", "--token-file", write(t, "mezu_x"), "--json"},
	} {
		code, out, talk := mezusphere(nil, args...)
		if code == 0 || out != "" || !strings.HasPrefix(talk, want) || strings.Count(talk, "\n") != 1 {
			t.Errorf("%q: code %d, %s%s", args, code, out, talk)
		}
	}
}

// startTimeout is generous: a first run makes keys and files on a busy machine.
const startTimeout = 60 * time.Second

// until waits for a match in what the program says.
func until(t *testing.T, from *testkit.Buffer, pattern string) []string {
	t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(startTimeout)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		if m := re.FindStringSubmatch(from.String()); m != nil {
			return m
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("no %s in %s", pattern, from)
		}
	}
}

// TestAll is the first hour of an operator: start, come in, let an edge in.
func TestAll(t *testing.T) {
	state := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var talk testkit.Buffer
	done := make(chan int, 1)
	args := []string{"all", "--state", state, "--domain", "localhost", "--api-addr", "127.0.0.1:0", "--https-addr", "127.0.0.1:0",
		"--admin-addr", "127.0.0.1:0", "--edge-admin-addr", "127.0.0.1:0"}
	go func() {
		done <- run(ctx, args, func(string) string { return "" }, terminal.Streams{Out: &talk, Err: &talk})
	}()
	control := until(t, &talk, `msg="control plane listens" api=(\S+) admin=(\S+) ca_file=(\S+)`)
	edge := until(t, &talk, `msg="edge listens" https=(\S+) tunnel=\S+ (?:told=\S+ )?admin=(\S+)`)
	base, ca := "https://"+control[1], control[3]
	awaitReady(t, "http://"+control[2]+"/readyz")
	awaitReady(t, "http://"+edge[2]+"/readyz")

	token := bootstrap(t, base, ca, until(t, &talk, `/bootstrap#(\S+)`)[1])
	file := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		t.Fatal(err)
	}
	code, out, said := mezusphere(map[string]string{"MEZU_CA_FILE": ca}, "join-token", "create", "--api", base, "--token-file", file)
	if code != 0 || !strings.HasPrefix(out, mezu.TokenJoin) || strings.Count(out, "\n") != 1 {
		t.Errorf("join token: code %d, %q, %s", code, out, said)
	}
	code, out, said = mezusphere(map[string]string{"MEZU_CA_FILE": ca, "MEZU_TOKEN": token, "MEZU_API": base}, "join-token", "create", "--json")
	var made api.JoinTokenResponse
	if err := json.Unmarshal([]byte(out), &made); code != 0 || err != nil || made.ExpiresAt.IsZero() || said != "" {
		t.Errorf("as JSON: code %d, %q, %v, %s", code, out, err, said)
	}
	for want, env := range map[int]map[string]string{
		3: {"MEZU_CA_FILE": ca, "MEZU_TOKEN": mezu.NewToken(mezu.TokenBearer), "MEZU_API": base},
		6: {"MEZU_TOKEN": token, "MEZU_API": base}, // an authority that the system doesn't know
	} {
		if code, _, said := mezusphere(env, "join-token", "create"); code != want {
			t.Errorf("code %d instead of %d: %s", code, want, said)
		}
	}
	code, _, said = mezusphere(map[string]string{"MEZU_CA_FILE": ca, "MEZU_API": base}, "join-token", "create", "--token", token)
	if code != 0 || !strings.Contains(said, "process lists") {
		t.Errorf("token as an argument: code %d, %s", code, said)
	}

	// The one that runs is named, whether its folder or its port is met first.
	runs := fmt.Sprintf("the state directory %s is in use by another process: the control plane at %s (pid %d)\n  try: stop it, or give this one a directory of its own with --state", filepath.Join(state, "control"), base, os.Getpid())
	for _, more := range [][]string{nil, {"--api-addr", control[1]}} {
		if code, _, said := mezusphere(nil, append(slices.Clone(args), more...)...); code != 5 || !strings.Contains(said, runs) {
			t.Errorf("the same folder twice: code %d, %s", code, said)
		}
	}
	if code, _, said := mezusphere(nil, append(slices.Clone(args), "--state", t.TempDir(), "--edge-admin-addr", edge[2])...); code != 1 || !strings.Contains(said, "try: stop what uses the port or choose another with --edge-admin-addr") {
		t.Errorf("the port of another one: code %d, %s", code, said)
	}
	cancel()
	select {
	case code := <-done:
		if code != 0 {
			t.Errorf("stopped with %d: %s", code, &talk)
		}
	case <-time.After(startTimeout):
		t.Fatal("does not stop")
	}
	if strings.Contains(talk.String(), token) {
		t.Error("C3: the log holds the token")
	}
}

func awaitReady(t *testing.T, url string) {
	t.Helper()
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	late := time.After(startTimeout)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := client.Get(url)
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
			err = fmt.Errorf("status %d", resp.StatusCode)
		}
		select {
		case <-tick.C:
		case <-late:
			t.Fatalf("%s: %v", url, err)
		}
	}
}

func bootstrap(t *testing.T, base, ca, code string) string {
	t.Helper()
	roots, err := invocation.Roots(ca)
	if err != nil {
		t.Fatal(err)
	}
	client, err := api.NewClient(api.ClientConfig{BaseURL: base, TLS: &tls.Config{RootCAs: roots}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdle()
	out, err := api.Invoke[api.TokenResponse](t.Context(), client, api.OpBootstrap, api.BootstrapRequest{Code: code})
	if err != nil {
		t.Fatal(err)
	}
	return out.Token
}
