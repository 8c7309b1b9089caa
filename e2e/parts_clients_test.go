package e2e

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/mezusphere/mezu/testkit"
)

// clientCases are what each client does, as far as it can.
var clientCases = []string{"upload", "download", "head", "not-modified", "hints", "continue", "trailers", "early"}

// scripted runs a client of tools/peers against either workload.
func (p *parts) scripted(t *testing.T, cases []string, program ...string) {
	t.Helper()
	for _, h2c := range []bool{false, true} {
		p.scriptedOnce(t, cases, h2c, program...)
	}
}

// scriptedOnce runs a client that says which cases have passed.
func (p *parts) scriptedOnce(t *testing.T, cases []string, h2c bool, program ...string) {
	t.Helper()
	args, err := json.Marshal(map[string]any{"host": p.host, "port": p.port(), "ca": p.caFile(), "file": p.data.file, "sum": p.data.sum, "length": partsBody,
		"early": partsEarly, "h2c": h2c, "cases": cases})
	if err != nil {
		t.Fatal(err)
	}
	out, log, err := output(t, program[0], slices.Concat(program[1:], []string{string(args)})...)
	if err != nil {
		t.Errorf("h2c %v: %v\n%s%s", h2c, err, out, tail(log))
	}
	for _, name := range cases {
		if !strings.Contains(out, "passed "+name+"\n") {
			t.Errorf("h2c %v: %s did not pass", h2c, name)
		}
	}
}

// pythonH2 and the others speak in scripts.
func pythonH2(t *testing.T, p *parts) {
	p.scripted(t, clientCases, python(t, "h2"), peersDir+"/python/h2client.py")
}

func pythonHTTPX(t *testing.T, p *parts) {
	cases := []string{"upload", "download", "head", "not-modified", "hints", "concurrent", "early"}
	p.scripted(t, cases, python(t, "h2", "httpx"), peersDir+"/python/httpxclient.py")
}

func nodeHTTP2(t *testing.T, p *parts) {
	testkit.Programs(t, "node")
	p.scripted(t, append([]string{"concurrent", "cancel"}, clientCases...), "node", peersDir+"/node/http2.mjs")
}

// nodeGoAway has a request under way while its edge leaves.
func nodeGoAway(t *testing.T, p *parts) {
	testkit.Programs(t, "node")
	_, port, _ := net.SplitHostPort(p.leaving.https)
	args := fmt.Sprintf(`{"host": %q, "port": %q, "ca": %q}`, p.host, port, p.caFile())
	node := startWith(t, "node", nil, "node", peersDir+"/node/goaway.mjs", args)
	said := func(word string) {
		t.Helper()
		eventually(t, "Node to say "+word, func() error {
			if !strings.Contains(node.out.String(), word+"\n") {
				return fmt.Errorf("it says %q %s", node.out.String(), tail(node.log.String()))
			}
			return nil
		})
	}
	said("begun")
	p.leaving.signal(syscall.SIGTERM)
	said("told")
	close(p.goOn)
	if code := node.exit(); code != 0 {
		t.Errorf("Node ends with %d:\n%s", code, tail(node.log.String()))
	}
	if code := p.leaving.exit(); code != 0 {
		t.Errorf("the edge ends with %d", code)
	}
}

// nextCurl is that of the Debian release after this one.
const nextCurl = "../bin/curl-next/curl"

// curl does all cases with one program.
func curl(program string) func(*testing.T, *parts) {
	return func(t *testing.T, p *parts) {
		if strings.ContainsRune(program, '/') {
			program, _ = filepath.Abs(program)
		}
		if _, err := exec.LookPath(program); err != nil {
			testkit.Missing(t, program)
		}
		for _, h2c := range []bool{false, true} {
			c := &curlCommand{t: t, p: p, program: program, h2c: h2c}
			c.all()
		}
	}
}

type curlCommand struct {
	t       *testing.T
	p       *parts
	program string
	h2c     bool
}

// run gives the heads of all responses, and the body of the last.
func (c *curlCommand) run(path string, args ...string) (heads, body string) {
	c.t.Helper()
	dir := c.t.TempDir()
	args = append([]string{"--silent", "--show-error", "--http2", "--cacert", c.p.caFile(), "--resolve", c.p.host + ":" + c.p.port() + ":127.0.0.1",
		"--max-time", fmt.Sprint(patience.Seconds()), "--dump-header", filepath.Join(dir, "heads"), "--output", filepath.Join(dir, "body"), "--write-out", "%{http_version}"}, args...)
	if c.h2c {
		args = append(args, "--header", toH2CName+": "+toH2CValue)
	}
	version, log, err := output(c.t, c.program, append(args, c.p.at(path))...)
	if err != nil {
		c.t.Errorf("%s, h2c %v: %v\n%s", path, c.h2c, err, tail(log))
	}
	if version != "2" {
		c.t.Errorf("%s was asked for in HTTP/%s", path, version)
	}
	heads = string(testkit.ReadData(c.t, filepath.Join(dir, "heads")))
	// curl makes no file of an empty body.
	data, _ := os.ReadFile(filepath.Join(dir, "body"))
	return heads, string(data)
}

func (c *curlCommand) all() {
	t, d := c.t, c.p.data
	if _, body := c.run("/sum", "--upload-file", d.file); body != fmt.Sprint(len(d.bytes), " ", d.sum) {
		t.Errorf("an upload arrives as %q", body)
	}
	if _, body := c.run("/parts/bytes"); body != string(d.bytes) {
		t.Errorf("a download of %d bytes has %d", len(d.bytes), len(body))
	}
	if heads, body := c.run("/parts/early", "--upload-file", d.file); !strings.HasPrefix(heads, "HTTP/2 413") || body != string(d.bytes[:partsEarly]) {
		t.Errorf("an early answer has %d bytes:\n%s", len(body), heads)
	}
	if heads, body := c.run("/file", "--head"); !strings.Contains(heads, fmt.Sprintf("content-length: %d\r\n", len(fileText))) || body != "" && body != heads {
		t.Errorf("HEAD gives %q:\n%s", body, heads)
	}
	if heads, body := c.run("/file", "--header", `If-None-Match: "v1"`); !strings.HasPrefix(heads, "HTTP/2 304") || body != "" {
		t.Errorf("a validator gives %q:\n%s", body, heads)
	}
	if heads, body := c.run("/hints"); strings.Count(heads, "HTTP/2 103") != 2 || strings.Count(heads, "HTTP/2 200") != 1 || body != "final" {
		t.Errorf("hints give %q:\n%s", body, heads)
	}
	if _, body := c.run("/sum", "--header", "Expect: 100-continue", "--upload-file", d.file); body != fmt.Sprint(len(d.bytes), " ", d.sum) {
		t.Errorf("an upload with an expectation arrives as %q", body)
	}
	if heads, _ := c.run("/parts/trailers"); !regexp.MustCompile(`(?s)HTTP/2 200.*\r\n\r\n.*x-sum: 42\r\n`).MatchString(heads) || !strings.Contains(heads, "x-late: also\r\n") {
		t.Errorf("trailers don't come:\n%s", heads)
	}
}

// nghttp uploads, and asks for much at once, with weights.
func nghttp(t *testing.T, p *parts) {
	testkit.Programs(t, "nghttp")
	run := func(args ...string) string {
		t.Helper()
		out, log, err := output(t, "nghttp", append([]string{"--header", ":authority: " + p.host, "--timeout", "60", "--no-verify-peer"}, args...)...)
		if err != nil {
			t.Errorf("nghttp %q: %v\n%s", args, err, tail(log))
		} else if log != "" { // it says of a stream that was reset, and ends well
			t.Logf("nghttp %q: %s", args, tail(log))
		}
		return out
	}
	base := "https://" + p.e.https
	for _, h2c := range []string{"h1", toH2CValue} {
		to := toH2CName + ": " + h2c
		if out := run("--header", to, "--data", p.data.file, base+"/sum"); out != fmt.Sprint(len(p.data.bytes), " ", p.data.sum) {
			t.Errorf("an upload arrives as %q", out)
		}
		if out := run("--header", to, "--data", p.data.file, "--expect-continue", base+"/sum"); out != fmt.Sprint(len(p.data.bytes), " ", p.data.sum) {
			t.Errorf("an upload with an expectation arrives as %q", out)
		}
		if out := run("--header", to, base+"/parts/bytes"); out != string(p.data.bytes) {
			t.Errorf("a download of %d bytes has %d", len(p.data.bytes), len(out))
		}
		if out := run("--header", to, "--data", p.data.file, base+"/parts/early"); out != string(p.data.bytes[:partsEarly]) {
			t.Errorf("an early answer has %d bytes", len(out))
		}
		if out := run("--header", to, "--data", p.data.smallFile, "--no-content-length", "--trailer", "x-sent: yes", "--header", "trailer: x-sent", base+"/parts/trailers"); !strings.Contains(out, `"length":20000,"trailers":{"X-Sent":["yes"]}`) {
			t.Errorf("trailers come as %q", out)
		}
		stats := run("--header", to, "--null-out", "--stat", "--multiply", "20", "--weight", "1", "--weight", "256", "--header", "priority: u=1, i", base+"/bytes/100000", base+"/x")
		if n := len(regexp.MustCompile(`(?m) 200 +\S+ /`).FindAllString(stats, -1)); n != 40 {
			t.Errorf("%d of 40 requests were answered:\n%s", n, stats)
		}
	}
}

// h2load sends many requests at once, small ones and some with a body.
func h2load(t *testing.T, p *parts) {
	testkit.Programs(t, "h2load")
	requests := 1000
	if os.Getenv(soakVariable) != "" {
		requests = 20_000
	}
	for _, more := range [][]string{{}, {"--data", p.data.smallFile}, {"--header", toH2CName + ": " + toH2CValue}, {"--header", toH2CName + ": " + toH2CValue, "--data", p.data.smallFile}} {
		args := append([]string{"--requests", fmt.Sprint(requests), "--clients", "4", "--max-concurrent-streams", "20", "--connect-to", p.e.https}, more...)
		out, log, err := output(t, "h2load", append(args, p.at("/load"))...)
		if err != nil || !strings.Contains(out, fmt.Sprintf("%d succeeded, 0 failed, 0 errored, 0 timeout", requests)) || !strings.Contains(out, "Application protocol: h2") {
			t.Errorf("%q: %v\n%s%s", more, err, out, tail(log))
		}
	}
}
