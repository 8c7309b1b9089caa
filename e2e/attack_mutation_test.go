package e2e

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
)

// mutation is bytes on a connection that somebody might cut into messages in
// another way than we do. {host}, {id} and {id2} stand for the host and for two
// request ids.
type mutation struct{ name, raw string }

// Pieces of mutations.
const (
	post     = "POST /p/m HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\n"
	hidden   = "GET /p/hidden HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id2}\r\n\r\n"
	chunks   = "5\r\nhello\r\n0\r\n\r\n"
	lastPath = "/p/last"
)

// mutations are all of them: each family crosses what is written with where it
// stands and what follows.
func mutations() (all []mutation) {
	add := func(family, what, raw string) {
		all = append(all, mutation{fmt.Sprintf("%s %q", family, what), raw})
	}
	mutateCodings(add)
	mutateNames(add)
	mutateLengths(add)
	mutateChunks(add)
	mutateLines(add)
	mutateBodies(add)
	return all
}

// mutateCodings: values of Transfer-Encoding, alone and beside a length.
func mutateCodings(add func(family, what, raw string)) {
	for _, v := range []string{
		"chunked", "CHUNKED", "cHuNkEd", "chunked ", " chunked", "\tchunked\t", "\x0bchunked", "\x0cchunked", "chunked\x00", "chun\x00ked", "\x00chunked", "xchunked",
		"chunkedx", "chunke", "identity", "chunked, chunked", "chunked,chunked", "chunked, gzip", "gzip, chunked", "identity, chunked", "chunked, identity", "chunked;q=1",
		"chunked ;", "\"chunked\"", "'chunked'", "chunked,", ",chunked", ",", "", "chunked\r\n identity", "chunked\r\n\t, identity", "\r\n chunked", "chunked\rX: y", "chunked\nX: y",
		"\xefchunked", "\xc2\xa0chunked", "chunked\x7f", "chunked#", "[chunked]", "chunked chunked", "chunked\\", "cow", "0",
	} {
		coding := "Transfer-Encoding: " + v + "\r\n"
		add("coding", v, post+coding+"\r\n"+chunks)
		add("coding before length", v, post+coding+"Content-Length: 5\r\n\r\n"+chunks)
		add("coding after length", v, post+"Content-Length: 15\r\n"+coding+"\r\n"+chunks)
		add("coding hides request", v, post+coding+"\r\n0\r\n\r\n"+hidden)
	}
}

// mutateNames: the names of the two framing fields.
func mutateNames(add func(family, what, raw string)) {
	for _, n := range []string{
		"%s ", " %s", "%s\t", "\t%s", "%s\x00", "\x00%s", "%s\x0b", "X: y\n%s", "X: y\r%s", "X: y\r\r\n%s", "X: y\n\r\n%s", "%s\r\n ", "%s\xa0", "\xa0%s", "%s:", "[%s]", "\"%s\"", "%s\r", "%s\n", "X-%s", "%s-X",
	} {
		for _, field := range [][2]string{{"Transfer-Encoding", "chunked"}, {"Content-Length", "5"}} {
			name := fmt.Sprintf(n, field[0])
			add("name", name, post+name+": "+field[1]+"\r\n\r\n"+chunks)
			add("name before length", name, post+name+": "+field[1]+"\r\nContent-Length: 15\r\n\r\n"+chunks)
			add("name before coding", name, post+name+": "+field[1]+"\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks)
		}
	}
	for _, name := range []string{"transfer-encoding", "TRANSFER-ENCODING", "Transfer_Encoding", "Transfer.Encoding", "TransferEncoding", "Transfer Encoding", "Content_Length", "content-length", "CONTENT-LENGTH", "Content-Lengt"} {
		add("spelling", name, post+name+": "+map[bool]string{true: "chunked", false: "5"}[strings.HasPrefix(strings.ToLower(name), "t")]+"\r\n\r\n"+chunks)
	}
}

// mutateLengths: values of Content-Length, alone, twice and hiding a request.
func mutateLengths(add func(family, what, raw string)) {
	for _, v := range []string{
		"5", "05", "0005", "+5", "-5", "5 ", " 5", "\t5", "5,5", "5, 5", "5,6", "0x5", "0b101", "5.0", "5e0", "", " ", "5\x0b", "\x0b5", "5 5", "5;", "5;q=1", "1_0", "\xd9\xa5",
		"99999999999999999999", "18446744073709551621", "4294967301", "9223372036854775808", "NaN", "5\r\n 5", "5\x00", "0", "00", "-0", "+0", "000000000000000000005",
	} {
		length := "Content-Length: " + v + "\r\n"
		add("length", v, post+length+"\r\nhello")
		add("length twice", v, post+length+length+"\r\nhello")
		add("length and another", v, post+length+"Content-Length: 5\r\n\r\nhello")
		add("length in GET", v, strings.Replace(post, "POST", "GET", 1)+length+"\r\n"+hidden)
	}
}

// mutateChunks: the lines inside a chunked body.
func mutateChunks(add func(family, what, raw string)) {
	coded := post + "Transfer-Encoding: chunked\r\n\r\n"
	for _, size := range []string{
		"5", "05", "005", "000000000000005", "0000000000000005", "5 ", "5\t", " 5", "\t5", "+5", "-5", "0x5", "0X5", "5h", "5;", "5;a", "5;a=b", "5;a=\"b\"", "5 ;a", "5; a", "5,", "5\x00", "5\x0b", "",
		"5;a\nb", "5;a\rb", "5;a\x00", "5\r", "A", "a", "5;" + strings.Repeat("x", 200), "fffffffffffffffff", "8000000000000000", "5 5", "5\xff", "g", "_5", "5_0", "5.0",
	} {
		add("chunk size", size, coded+size+"\r\nhello\r\n0\r\n\r\n")
		add("chunk size ended by LF", size, coded+size+"\nhello\r\n0\r\n\r\n")
	}
	for _, end := range []string{"\n", "\r", "", "\r\r\n", " \r\n", "X\r\n", "\x00\r\n", "\r\n\r\n"} {
		add("chunk end", end, coded+"5\r\nhello"+end+"0\r\n\r\n")
	}
	for _, last := range []string{
		"0\r\n\r\n", "00\r\n\r\n", "0;x\r\n\r\n", "0\n\n", "0\r\n\n", "0\n\r\n", "0\r\nX: y\r\n\r\n", "0\r\nX: y\n\r\n", "0\r\nX : y\r\n\r\n", "0\r\n X: y\r\n\r\n", "0\r\nX: a\r\n b\r\n\r\n", "0\r\nX\r\n\r\n",
		"0\r\nContent-Length: 5\r\n\r\n", "0\r\nTransfer-Encoding: chunked\r\n\r\n", "0\r\nHost: x\r\n\r\n", "0\r\nX: a\x00\r\n\r\n", "0\r\r\n\r\n", "0 \r\n\r\n", "\r\n0\r\n\r\n", "0\r\n\r\r\n", "-0\r\n\r\n", "0x0\r\n\r\n",
	} {
		add("last chunk", last, coded+"5\r\nhello\r\n"+last)
		add("last chunk hides request", last, coded+last+hidden)
	}
}

// mutateLines: request lines and line ends.
func mutateLines(add func(family, what, raw string)) {
	fields := "Host: {host}\r\nX-Request-Id: {id}\r\nContent-Length: 5\r\n\r\nhello"
	for _, l := range []string{
		"POST /p/m HTTP/1.1\r\n", "POST /p/m HTTP/1.0\r\n", "POST /p/m HTTP/1.2\r\n", "POST /p/m HTTP/2.0\r\n", "POST /p/m HTTP/0.9\r\n", "POST /p/m HTTP/1\r\n", "POST /p/m HTTP/1.10\r\n", "POST /p/m HTTP/01.1\r\n",
		"POST /p/m http/1.1\r\n", "POST /p/m HTTP/1,1\r\n", "POST /p/m HTTP/1.1 \r\n", "POST /p/m  HTTP/1.1\r\n", "POST  /p/m HTTP/1.1\r\n", " POST /p/m HTTP/1.1\r\n", "\r\nPOST /p/m HTTP/1.1\r\n", "\nPOST /p/m HTTP/1.1\r\n",
		"POST /p/m HTTP/1.1\n", "POST /p/m HTTP/1.1\r\r\n", "POST\t/p/m\tHTTP/1.1\r\n", "POST /p/m\x0bHTTP/1.1\r\n", "POST /p/m\r\n", "POST\r\n", "POST /p/m /p/n HTTP/1.1\r\n", "POST /p/m HTTP/1.1 HTTP/1.1\r\n",
		"POST /p/m\x00 HTTP/1.1\r\n", "PO ST /p/m HTTP/1.1\r\n", "POST: /p/m HTTP/1.1\r\n", "post /p/m HTTP/1.1\r\n", "CONNECT /p/m HTTP/1.1\r\n", "TRACE /p/m HTTP/1.1\r\n", "GET /p/m HTTP/1.1\r\n", "X-Y_Z /p/m HTTP/1.1\r\n",
	} {
		add("request line", l, l+fields)
		add("request line before chunks", l, l+"Host: {host}\r\nX-Request-Id: {id}\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks)
	}
	for _, end := range []string{"\n", "\r", "\n\r", "\r\r\n", "\r\n ", "\r\n\t", "\x00\r\n", "\x0b\r\n", "\x85", "\xe2\x80\xa8"} {
		add("line end", end, "POST /p/m HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\nX: y"+end+"Content-Length: 5\r\n\r\nhello")
		add("last line end", end, "POST /p/m HTTP/1.1\r\nHost: {host}\r\nX-Request-Id: {id}\r\nContent-Length: 5"+end+"\r\nhello")
		add("end of head", end, post+"Content-Length: 5\r\n"+end+"hello")
	}
}

// mutateBodies: bodies where none is expected, and fields that steer the
// connection.
func mutateBodies(add func(family, what, raw string)) {
	for _, method := range []string{"GET", "HEAD", "DELETE", "OPTIONS", "PUT", "PATCH", "PROPFIND"} {
		start := strings.Replace(post, "POST", method, 1)
		add("no length", method, start+"\r\n"+hidden)
		add("length of a request", method, start+fmt.Sprintf("Content-Length: %d\r\n\r\n", len("GET /p/x HTTP/1.1\r\n\r\n"))+"GET /p/x HTTP/1.1\r\n\r\n")
		add("chunks", method, start+"Transfer-Encoding: chunked\r\n\r\n"+chunks)
		add("too short", method, start+"Content-Length: 100000\r\n\r\n"+hidden)
		add("never ends", method, start+"Transfer-Encoding: chunked\r\n\r\nffff\r\n"+hidden)
	}
	for _, field := range []string{
		"Connection: content-length", "Connection: transfer-encoding", "Connection: host", "Connection: close", "Connection: keep-alive", "Connection: upgrade", "Connection: ,", "Connection:", "Proxy-Connection: close",
		"Expect: 100-continue", "Expect: 100-Continue", "Expect: 200-ok", "Expect:", "Expect: 100-continue, x", "TE: chunked", "TE: trailers", "Trailer: Content-Length", "Keep-Alive: timeout=1", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk",
		"Content-Encoding: chunked", "MIME-Version: 1.0", "X: Transfer-Encoding: chunked", "X-HTTP-Method-Override: GET",
	} {
		add("field", field, post+field+"\r\nContent-Length: 5\r\n\r\nhello")
		add("field before chunks", field, post+field+"\r\nTransfer-Encoding: chunked\r\n\r\n"+chunks)
		add("field hides request", field, post+field+"\r\nContent-Length: 0\r\n\r\n"+hidden)
	}
}

// attackMutations compares, for each mutation and a plain request behind it,
// what the edge answers and the workload receives with what the strict reader of
// the tests makes of the same bytes.
func attackMutations(t *testing.T, a *target) {
	all := mutations()
	if len(all) < 300 {
		t.Fatalf("%d mutations only", len(all))
	}
	accepted, refused := 0, 0
	for _, m := range all {
		raw := a.fill(strings.ReplaceAll(m.raw, "{id2}", a.newID())+
			"GET "+lastPath+" HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nX-Request-Id: "+a.newID()+"\r\n\r\n", a.newID())
		ok, why := a.compare(t, raw)
		accepted += ok
		if ok == 0 {
			refused++
		}
		if why != nil {
			t.Errorf("%s: %v\nin %q", m.name, why, m.raw)
		}
	}
	t.Logf("%d mutations: %d messages accepted, %d mutations refused at once", len(all), accepted, refused)
	if accepted == 0 || refused == 0 {
		t.Error("the mutations are all alike")
	}
}

// compare sends bytes and follows the answers along the strict reading of them. It
// gives the number of messages that were accepted.
func (a *target) compare(t *testing.T, raw string) (accepted int, why error) {
	in := bufio.NewReader(strings.NewReader(raw))
	c := a.dial(t)
	defer c.Close()
	c.send(raw)
	for {
		m, err := readMessage(in, nil)
		switch {
		case err == io.EOF:
			return accepted, c.over()
		case errors.Is(err, errBadMethod):
			got, err := c.read(m.method)
			if err != nil || got.status != 501 {
				return accepted, fmt.Errorf("%v was answered with %+v, %v", m, got, err)
			}
			if got.close {
				return accepted, c.over()
			}
		case errors.Is(err, errBadHead), errors.Is(err, errBadBody):
			if m != nil && errors.Is(err, errBadBody) {
				a.expect(m.get("X-Request-Id"), delivery{cut: true})
			}
			got, why := c.read("POST")
			if why != nil || !slices.Contains([]int{400, 431, 501}, got.status) || got.status == 400 && !got.close {
				return accepted, fmt.Errorf("%v was answered with %+v, %v", err, got, why)
			}
			return accepted, c.over()
		case err != nil: // it does not end
			if m != nil {
				a.expect(m.get("X-Request-Id"), delivery{cut: true})
			}
			c.CloseWrite()
			if got, err := c.read("POST"); err == nil && got.status < 400 {
				return accepted, fmt.Errorf("%v is not whole and was answered with %+v", m, got)
			}
			return accepted, c.over()
		default:
			got, err := c.read(m.method)
			want := m.method + " " + m.target + "\n" + m.body
			if m.method == "HEAD" {
				want = ""
			}
			if err != nil || got.status != 200 || got.body != want {
				return accepted, fmt.Errorf("%v was answered with %+v, %v", m, got, err)
			}
			accepted++
			a.expect(got.header.Get("X-Request-Id"), delivery{method: m.method, target: m.target, body: m.body, route: "p", status: 200})
			if got.close {
				return accepted, c.over()
			}
		}
	}
}

// over checks that the connection carries nothing more.
func (c *rawConn) over() error {
	if got, err := c.read("GET"); err == nil {
		return fmt.Errorf("there is one more answer: %+v", got)
	}
	return nil
}
