package edge_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/corazawaf/coraza-coreruleset/v4/tests"
	"github.com/goccy/go-yaml"

	"github.com/mezusphere/mezu/api"
	"github.com/mezusphere/mezu/edgesvc/control/controltest"
)

// crsFile is a file of the Core Rule Set's regression tests, as far as it is used.
type crsFile struct {
	RuleID int `yaml:"rule_id"`
	Tests  []struct {
		ID     int `yaml:"test_id"`
		Stages []struct {
			Input  crsInput `yaml:"input"`
			Output struct {
				Log struct {
					Expect   []int `yaml:"expect_ids"`
					NoExpect []int `yaml:"no_expect_ids"`
				} `yaml:"log"`
			} `yaml:"output"`
		} `yaml:"stages"`
	} `yaml:"tests"`
}

type crsInput struct {
	Method  string            `yaml:"method"`
	URI     *string           `yaml:"uri"`
	Version *string           `yaml:"version"`
	Headers map[string]string `yaml:"headers"`
	Data    *string           `yaml:"data"`
	Encoded string            `yaml:"encoded_request"`
	Auto    *bool             `yaml:"autocomplete_headers"`
}

// crsTest is one request, and the rules that are to find it or not.
type crsTest struct {
	name     string // of the rule, the test and the stage
	raw      string
	want, no []int
}

// crsTests are all that look at requests.
func crsTests(t *testing.T) (out []crsTest) {
	t.Helper()
	err := fs.WalkDir(tests.FS, ".", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".yaml") {
			return err
		}
		b, err := fs.ReadFile(tests.FS, path)
		if err != nil {
			return err
		}
		var f crsFile
		if err := yaml.Unmarshal(b, &f); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		for _, c := range f.Tests {
			for stage, s := range c.Stages {
				test := crsTest{name: fmt.Sprintf("%d-%d", f.RuleID, c.ID), no: s.Output.Log.NoExpect}
				if stage > 0 {
					test.name += fmt.Sprintf(".%d", stage+1)
				}
				for _, id := range s.Output.Log.Expect {
					if id < 949_000 { // others add scores up, or look at responses
						test.want = append(test.want, id)
					}
				}
				test.raw = s.Input.request(t, "crs-"+test.name)
				out = append(out, test)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// hostLine is the host of a test that doesn't care which. It has to be the edge's.
var hostLine = regexp.MustCompile(`(?i)(\r\nhost:[ \t]*)(localhost|www\.example\.com|example\.com)?(:80)?\r\n`)

// request is what the test sends, byte for byte but for the request's id, by which the log is searched. Lines of a multipart body end as they have to.
func (in *crsInput) request(t *testing.T, id string) string {
	t.Helper()
	var raw string
	if in.Encoded != "" {
		b, err := base64.StdEncoding.DecodeString(in.Encoded)
		if err != nil {
			t.Fatal(err)
		}
		raw = string(b)
	} else {
		raw = in.plain()
	}
	head, rest, ok := strings.Cut(raw, "\r\n")
	if !ok {
		return raw
	}
	return head + "\r\nX-Request-Id: " + id + "\r\n" + rest
}

func (in *crsInput) plain() string {
	method, uri, version := in.Method, "/", "HTTP/1.1"
	if method == "" {
		method = "GET"
	}
	if in.URI != nil {
		uri = *in.URI
	}
	if in.Version != nil && *in.Version != "HTTP/2" && *in.Version != "" {
		version = *in.Version
	}
	has := func(name string) string {
		for n, v := range in.Headers {
			if strings.EqualFold(n, name) {
				return v + " "
			}
		}
		return ""
	}
	body := ""
	if in.Data != nil {
		body = *in.Data
	}
	if strings.HasPrefix(strings.ToLower(has("Content-Type")), "multipart/") && !strings.Contains(body, "\r\n") {
		body = strings.ReplaceAll(body, "\n", "\r\n")
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s %s\r\n", method, uri, version)
	names := make([]string, 0, len(in.Headers))
	for n := range in.Headers {
		names = append(names, n)
	}
	slices.Sort(names)
	for _, n := range names {
		v := in.Headers[n]
		if strings.EqualFold(n, "Content-Length") && v == strconv.Itoa(len(str(in.Data))) {
			v = strconv.Itoa(len(body)) // of the lines as they are now
		}
		b.WriteString(n + ": " + v + "\r\n")
	}
	if in.Auto == nil || *in.Auto {
		if in.Data != nil && has("Content-Length") == "" {
			fmt.Fprintf(&b, "Content-Length: %d\r\n", len(body))
		}
		if body != "" && has("Content-Type") == "" {
			b.WriteString("Content-Type: application/x-www-form-urlencoded\r\n")
		}
	}
	return b.String() + "\r\n" + body
}

func str(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// ask sends a request from an address of its own, and gives the status of the answer; zero if there
// was none.
func (a *target) ask(from int, raw string) int {
	local := &net.TCPAddr{IP: net.IPv4(127, byte(1+from>>16), byte(from>>8), byte(from))}
	dialer := tls.Dialer{NetDialer: &net.Dialer{LocalAddr: local}, Config: &tls.Config{RootCAs: a.in.Roots, ServerName: strings.Split(a.host, ":")[0]}}
	ctx, leave := context.WithTimeout(a.t.Context(), 10*time.Second)
	defer leave()
	conn, err := dialer.DialContext(ctx, "tcp", a.edge.HTTPSAddr())
	if err != nil {
		a.t.Error(err)
		return 0
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second)) // some say that more will come than does
	io.WriteString(conn, raw)
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return 0
	}
	io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

// crsFloor is how many of the tests have to pass or to be refused before the rules are asked.
const crsFloor = 4562

// found is a line of the log about a request.
var found = regexp.MustCompile(`request_id=(\S+) .*rules="?\[([0-9 ]*)\]"?( partial=\S+)?`)

// TestCRS: the regression tests of the Core Rule Set, through a whole edge: a rule finds what it is
// to find, or the edge refuses the request before. testdata/crs-deviations.txt lists all others with
// the reason. A short run has a sample.
func TestCRS(t *testing.T) {
	all := crsTests(t)
	whole := os.Getenv("MEZU_SOAK") != ""
	listed := deviations(t)
	if !whole {
		r := rand.New(rand.NewPCG(1, uint64(time.Now().UnixNano())/uint64(24*time.Hour))) // another one each day
		r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
		all = all[:40]
	}
	var statuses []int
	var log strings.Builder
	for batch := range slices.Chunk(all, crsBatch) {
		t.Run("", func(t *testing.T) {
			got, lines := sendCRS(t, batch)
			statuses = append(statuses, got...)
			log.WriteString(lines)
		})
	}
	if len(statuses) != len(all) {
		t.Fatalf("%d of %d were sent", len(statuses), len(all))
	}
	rules, partial := map[string][]int{}, map[string]bool{}
	for _, m := range found.FindAllStringSubmatch(log.String(), -1) {
		for id := range strings.FieldsSeq(m[2]) {
			n, _ := strconv.Atoi(id)
			rules[m[1]] = append(rules[m[1]], n)
		}
		partial[m[1]] = m[3] != ""
	}
	passed, refused := 0, 0
	for i, c := range all {
		has := rules["crs-"+c.name]
		why := ""
		for _, id := range c.want {
			if !slices.Contains(has, id) {
				why += fmt.Sprintf(" %d does not find it;", id)
			}
		}
		for _, id := range c.no {
			if slices.Contains(has, id) {
				why += fmt.Sprintf(" %d finds it;", id)
			}
		}
		_, is := listed[c.name]
		switch {
		case statuses[i] != 200, partial["crs-"+c.name]: // or a machine that is busy has made it wait for too long
			refused++
		case why == "" && is:
			t.Errorf("%s passes, and is listed", c.name)
		case why == "":
			passed++
		case !is:
			t.Errorf("%s:%s rules %v find it", c.name, why, has)
		}
	}
	t.Logf("%d of %d pass, %d are refused before, %d are listed", passed, len(all), refused, len(all)-passed-refused)
	if whole && passed+refused < crsFloor {
		t.Errorf("%d are less than %d", passed+refused, crsFloor)
	}
}

// crsBatch is how many tests one edge gets: of more addresses its log does not tell one by one.
const crsBatch = 500

// sendCRS sends tests to an edge, each from an address of its own, and gives the statuses of the answers and
// the edge's log.
func sendCRS(t *testing.T, all []crsTest) (statuses []int, log string) {
	t.Helper()
	a := newTarget(t, false)
	controltest.Call[api.EnvironmentWritten](t, a.op, api.OpUpdateEnvironment, map[string]any{"waf": "detect", "waf_settings": map[string]any{"paranoia": 4, "threshold": 1}}, a.pool.Path()...)
	controltest.Eventually(t, "the firewall to be on", func() bool {
		a.ask(0, "GET /?a="+attackInQuery+" HTTP/1.1\r\nHost: "+a.host+"\r\n\r\n")
		return strings.Contains(a.log.String(), "the firewall")
	})
	statuses = make([]int, len(all))
	var wg sync.WaitGroup
	next := make(chan int)
	for range 4 {
		wg.Go(func() {
			for i := range next {
				statuses[i] = a.ask(1+i, hostLine.ReplaceAllString(all[i].raw, "${1}"+a.host+"\r\n"))
			}
		})
	}
	for i := range all {
		next <- i
	}
	close(next)
	wg.Wait()
	unmoved(t, "the log to have been told of the last ones", func() int64 { return int64(len(a.log.String())) })
	return statuses, a.log.String()
}

// deviations are the tests that don't pass, with the reason of each.
func deviations(t *testing.T) map[string]string {
	t.Helper()
	b, err := os.ReadFile("testdata/crs-deviations.txt")
	if err != nil {
		t.Fatal(err)
	}
	out, reason := map[string]string{}, ""
	for line := range strings.Lines(string(b)) {
		switch line = strings.TrimSpace(line); {
		case line == "":
		case strings.HasPrefix(line, "# "):
			reason = line[2:]
		default:
			for name := range strings.FieldsSeq(line) {
				if reason == "" || out[name] != "" {
					t.Errorf("testdata/crs-deviations.txt: %s has no reason, or two", name)
				}
				out[name] = reason
			}
		}
	}
	return out
}
