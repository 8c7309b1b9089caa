package export_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/inspect/export"
	"github.com/mezusphere/mezu/daemon/inspect/show"
	"github.com/mezusphere/mezu/local"
	"github.com/mezusphere/mezu/testkit"
)

// patience bounds every wait of a test that has gone wrong.
const patience = time.Minute

// got is a request byte for byte.
type got struct {
	line   string
	fields []string
	body   []byte
}

// workload takes requests over TCP as they are, and answers each.
func workload(t *testing.T) (address string, requests <-chan got) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	out, ended := make(chan got, 1), make(chan struct{})
	t.Cleanup(func() {
		l.Close()
		<-ended
	})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.SetDeadline(time.Now().Add(patience))
			if g, err := read(c); err == nil {
				out <- g
			}
			c.Close()
		}
	}()
	return "http://" + l.Addr().String(), out
}

func read(c net.Conn) (g got, err error) {
	r := bufio.NewReader(c)
	line := func() string {
		var text string
		if err == nil {
			text, err = r.ReadString('\n')
		}
		return strings.TrimSuffix(text, "\r\n")
	}
	g.line = line()
	length := 0
	for l := line(); l != "" && err == nil; l = line() {
		g.fields = append(g.fields, l)
		if value, ok := strings.CutPrefix(l, "Content-Length: "); ok {
			length, err = strconv.Atoi(value)
		}
	}
	g.body = make([]byte, length)
	if err == nil {
		_, err = io.ReadFull(r, g.body)
	}
	_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
	return g, err
}

// request is an exchange of which only the request counts.
func request(address, line string, body []byte, fields ...string) *show.Complete {
	x := &show.Complete{Address: address}
	x.ID, x.Tunnel, x.Kind, x.Request.Line = "7f3a", "shop/dev", mezu.ExchangeHTTP, line
	for i := 0; i < len(fields); i += 2 {
		x.Request.Fields = append(x.Request.Fields, mezu.ExchangeField{Name: fields[i], Value: fields[i+1]})
	}
	x.RequestBody = local.Content{Data: body, Size: int64(len(body))}
	x.Request.Body = &mezu.ExchangeBody{Size: x.RequestBody.Size, Kept: x.RequestBody.Size}
	return x
}

// runs runs a command by a shell.
func runs(t *testing.T, shell []string, command string, environment ...string) error {
	t.Helper()
	file := filepath.Join(t.TempDir(), "command")
	if err := os.WriteFile(file, []byte(command), 0o600); err != nil {
		t.Fatal(err)
	}
	c := exec.CommandContext(t.Context(), shell[0], append(shell[1:], file)...)
	c.Env = append([]string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C.UTF-8", "HOME=" + t.TempDir()}, environment...)
	c.Dir = t.TempDir()
	out, err := c.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if left, _ := os.ReadDir(c.Dir); len(left) > 0 {
		t.Errorf("it left %v", left)
	}
	return nil
}

// shells are those that may be sh.
func shells(t *testing.T) [][]string {
	t.Helper()
	testkit.Programs(t, "curl", "sh")
	out := [][]string{{"sh"}}
	for _, other := range [][]string{{"dash"}, {"bash", "--posix"}, {"busybox", "ash"}} {
		if _, err := exec.LookPath(other[0]); err == nil {
			out = append(out, other)
		}
	}
	return out
}

const nasty = `'"$HOME $(touch pwned) ` + "`touch pwned`" + ` \ \\ \n %s %% %n ! # ; & | < > * ? [a] {b,c} ~ = @/etc/passwd ${X:?} '\''` + "\u202e é 花"

// every is each byte that a part of a request may have.
func every(is func(c byte) bool) string {
	var b []byte
	for c := range 256 {
		if is(byte(c)) {
			b = append(b, byte(c))
		}
	}
	return string(b)
}

// TestCurl_SendsTheSameBytes: shells and curl make of a command what the tunnel got.
func TestCurl_SendsTheSameBytes(t *testing.T) {
	all := every(func(byte) bool { return true })
	inTarget := every(func(c byte) bool { return c > ' ' && c != 0x7f })
	inValue := every(func(c byte) bool { return c > ' ' && c != 0x7f || c == '\t' })
	address, requests := workload(t)
	for name, x := range map[string]*show.Complete{
		"a webhook":                              request(address, "POST /hooks/stripe?x=1&y=%20 HTTP/1.1", []byte("{\n  \"id\": \"evt_1\",\n  \"text\": \"it's 100 %\\n\"\n}"), "Content-Type", "application/json", "User-Agent", "Stripe/1.0", "Accept", "*/*"),
		"no fields":                              request(address, "GET / HTTP/1.1", nil),
		"order, empty values and the same twice": request(address, "GET /a HTTP/1.1", nil, "X-B", "1", "Accept", "b", "X-Empty", "", "X-A", "2", "X-B", "", "X-B", "3", "user-agent", "x", "Cookie", "a=b; c=d"),
		"dots and globs":                         request(address, "GET /a/../b/./c//d/%2e%2e/[1-3]/e?q=[a]&r={b,c}&../x HTTP/1.1", nil),
		"a target of quotes":                     request(address, "GET /"+strings.ReplaceAll(nasty, " ", "+")+"?"+strings.ReplaceAll(nasty, " ", "+")+" HTTP/1.1", nil),
		"all bytes of a target":                  request(address, "GET /"+inTarget+" HTTP/1.1", nil),
		"fields of quotes":                       request(address, "GET / HTTP/1.1", nil, "X-Quotes", strings.ReplaceAll(nasty, "\u202e", ""), "X-'$`", nasty),
		"all bytes of a value":                   request(address, "GET / HTTP/1.1", nil, "X-All", inValue),
		"a body of quotes":                       request(address, "PUT /a HTTP/1.1", []byte(nasty), "Content-Type", "text/plain"),
		"a body of a file's name":                request(address, "POST /a HTTP/1.1", []byte("@/etc/passwd"), "Content-Type", "text/plain"),
		"a body of options":                      request(address, "POST /a HTTP/1.1", []byte("--help\n\n\n"), "Content-Type", "text/plain"),
		"all bytes of a body":                    request(address, "POST /a HTTP/1.1", []byte(all+all+"\n\n")),
		"a large body":                           request(address, "POST /a HTTP/1.1", bytes.Repeat([]byte(all), 1<<20/256), "Content-Type", "application/octet-stream"),
		"an empty body":                          request(address, "POST /a HTTP/1.1", nil, "Content-Length", "0"),
		"POST without a body":                    request(address, "POST /a HTTP/1.1", nil),
		"a body of GET":                          request(address, "GET /a HTTP/1.1", []byte("x")),
		"HEAD":                                   request(address, "HEAD /a HTTP/1.1", nil),
		"a method of its own":                    request(address, "M-SEARCH'$(id) /a HTTP/1.1", nil),
		"all of the server":                      request(address, "OPTIONS * HTTP/1.1", nil),
	} {
		for _, shell := range shells(t) {
			t.Run(name+" by "+shell[0], func(t *testing.T) {
				command := export.Curl(x)
				if strings.ContainsRune(command, '\u202e') {
					t.Error("it turns the text around")
				}
				if err := runs(t, shell, command); err != nil {
					t.Fatalf("%v\n%s", err, command[:min(len(command), 2000)])
				}
				g := <-requests
				if g.line != x.Request.Line {
					t.Errorf("%q, want %q", g.line, x.Request.Line)
				}
				var want []string
				for _, f := range x.Request.Fields {
					if f.Name != "Content-Length" {
						want = append(want, strings.TrimSuffix(f.Name+": "+f.Value, " "))
					}
				}
				fields := slices.DeleteFunc(g.fields, func(f string) bool { return strings.HasPrefix(f, "Host: ") || strings.HasPrefix(f, "Content-Length: ") })
				if !slices.Equal(fields, want) {
					t.Errorf("%q\nwant %q", fields, want)
				}
				if !bytes.Equal(g.body, x.RequestBody.Data) {
					t.Errorf("%d bytes, want %d", len(g.body), len(x.RequestBody.Data))
				}
			})
		}
	}
}

// TestCurl_Masks: each masked value is a variable, and without all of them nothing is sent.
func TestCurl_Masks(t *testing.T) {
	address, requests := workload(t)
	x := request(address, "POST /a?token="+mezu.Mask+"&b=1&token="+mezu.Mask+" HTTP/1.1", []byte(`{"password": "`+mezu.Mask+`", "rate": "5 %"}`),
		"Authorization", "Bearer "+mezu.Mask, "Cookie", "session="+mezu.Mask+"; theme=dark", "Path", mezu.Mask, "Content-Type", "application/json")
	command := export.Curl(x)
	for _, want := range []string{`: "${TOKEN:?}" "${TOKEN_2:?}" "${AUTHORIZATION:?}" "${SESSION:?}" "${SECRET_PATH:?}" "${PASSWORD:?}" &&`} {
		if !strings.Contains(command, want) {
			t.Errorf("no %s in\n%s", want, command)
		}
	}
	values := []string{"TOKEN=t%201", "TOKEN_2=$(id)", "AUTHORIZATION=it's \"mine\"", "SESSION=s;e", "SECRET_PATH=p", "PASSWORD=100 %s \\n"}
	for i := range values {
		if err := runs(t, []string{"sh"}, command, slices.Delete(slices.Clone(values), i, i+1)...); err == nil {
			t.Errorf("it ran without %s", values[i])
		}
	}
	if err := runs(t, []string{"sh"}, command, values...); err != nil {
		t.Fatal(err)
	}
	g := <-requests
	if g.line != "POST /a?token=t%201&b=1&token=$(id) HTTP/1.1" || string(g.body) != `{"password": "100 %s \n", "rate": "5 %"}` {
		t.Errorf("%s\n%s", g.line, g.body)
	}
	for _, want := range []string{`Authorization: Bearer it's "mine"`, "Cookie: session=s;e; theme=dark", "Path: p"} {
		if !slices.Contains(g.fields, want) {
			t.Errorf("no %q in %q", want, g.fields)
		}
	}
	select {
	case g := <-requests:
		t.Errorf("%s was sent without its secrets", g.line)
	default:
	}
	// What somebody sends that looks like a mask stays one where nothing is masked.
	x.Unmasked = true
	if command := export.Curl(x); strings.Contains(command, ":?}") {
		t.Error(command)
	}
}

// TestCurl_SaysWhatIsMissing: a command that can't send all says so.
func TestCurl_SaysWhatIsMissing(t *testing.T) {
	x := request("https://shop.example.com:8443", "GET /a HTTP/1.1", []byte("{}"), "Content-Encoding", "gzip", "X-Forwarded-For", "203.0.113.9", "X-Request-Id", "r", "Connection", "Upgrade", "Upgrade", "websocket")
	x.Host, x.Kind, x.Undone = "shop.example.com", mezu.ExchangeWebSocket, true
	x.RequestBody.Size, x.Request.Body.Size = 5<<20, 5<<20
	x.Request.Trailers = []mezu.ExchangeField{{Name: "X-Sum", Value: "1"}}
	x.Tunnel, x.CAFile = "shop\n$(id)", "/home/ada/it's/ca\n.pem"
	command := export.Curl(x)
	for _, want := range []string{
		"# request 7f3a of shop\\n$(id)\n", "# its body is cut: the first 2 bytes of 5242880 were kept\n", "# its body is sent without the content encoding",
		"# its trailers are left out", "# it became another protocol",
		`# curl has to know the CA of the installation: mezu trust, or export CURL_CA_BUNDLE='/home/ada/it'\''s/ca\n.pem'` + "\n", "'https://shop.example.com:8443/a'",
	} {
		if !strings.Contains(command, want) {
			t.Errorf("no %q in\n%s", want, command)
		}
	}
	for _, not := range []string{"gzip", "Forwarded", "Request-Id", "Upgrade"} {
		if strings.Contains(command, not) {
			t.Errorf("%s in\n%s", not, command)
		}
	}
}
