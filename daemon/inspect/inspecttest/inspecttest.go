// Package inspecttest gives an inspector exchanges to keep, for tests of what shows them.
//
// What lives here: telling a recorder of an exchange as forwarding does. What may not: anything
// that a program needs. Only tests import it.
package inspecttest

import (
	"strings"
	"time"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/daemon/forward"
	"github.com/mezusphere/mezu/daemon/inspect"
	"github.com/mezusphere/mezu/preface"
	"github.com/mezusphere/mezu/relay"
)

// Exchange is one that passes. Fields are lines, without their ends.
type Exchange struct {
	ID     string // of the request
	Method string // GET if empty
	Target string
	Fields []string
	Body   []byte
	// Answer is its first line, "HTTP/1.1 200 OK" if empty.
	Answer       string
	AnswerFields []string
	AnswerBody   []byte
	// In and Out are the stream behind a 101.
	In, Out []byte
	// Open leaves it under way: end ends it.
	Open bool
}

// Keep has an inspector keep exchanges of the tunnel tun_1, shop/dev. end ends those that are open.
func Keep(i *inspect.Inspector, all ...Exchange) (end func()) {
	recorder := i.Recorder(inspect.Tunnel{ID: "tun_1", Name: func() string { return "shop/dev" }})
	var tapes []forward.Tape
	end = func() {
		for _, t := range tapes {
			t.End(&forward.Outcome{Status: 200, Took: time.Second})
			t.Close()
		}
	}
	for _, x := range all {
		tape := recorder.Tape("fra-1")
		status := pass(tape, &x)
		if x.Open {
			tapes = append(tapes, tape)
			continue
		}
		tape.End(&forward.Outcome{Status: status, Took: 5 * time.Millisecond, BytesIn: int64(len(x.Body)), BytesOut: int64(len(x.AnswerBody))})
		tape.Close()
	}
	return end
}

// pass tells of an exchange but its end, and gives its status.
func pass(tape forward.Tape, x *Exchange) int {
	method, answer := x.Method, x.Answer
	if method == "" {
		method = "GET"
	}
	if answer == "" {
		answer = "HTTP/1.1 200 OK"
	}
	path, query, ok := strings.Cut(x.Target, "?")
	if ok {
		query = "?" + query
	}
	request := &relay.Request{Method: method, Host: "shop.example.com", Path: mezu.Path{Path: path}, Query: query}
	for _, line := range x.Fields {
		name, value, _ := strings.Cut(line, ": ")
		request.Fields = append(request.Fields, relay.Field{Name: []byte(name), Value: []byte(value)})
	}
	upgrade := ""
	if len(x.In)+len(x.Out) > 0 {
		upgrade = "websocket"
	}
	tape.Begin(&forward.Begun{At: time.Now(), Info: &preface.Request{ID: x.ID}, Request: request, Upgrade: upgrade})
	tape.Head(forward.PartRequest, head(method+" "+x.Target+" HTTP/1.1", x.Fields))
	tape.Judged("prefix /", "")
	tape.Head(forward.PartSent, head(method+" "+x.Target+" HTTP/1.1", x.Fields))
	if len(x.Body) > 0 {
		tape.Piece(forward.In, x.Body)
	}
	tape.Head(forward.PartResponse, head(answer, x.AnswerFields))
	tape.Head(forward.PartReturned, head(answer, x.AnswerFields))
	if len(x.In)+len(x.Out) > 0 {
		tape.Upgraded()
		tape.Piece(forward.In, x.In)
		tape.Piece(forward.Out, x.Out)
	} else if len(x.AnswerBody) > 0 {
		tape.Piece(forward.Out, x.AnswerBody)
	}
	status := 0
	for _, c := range answer[len("HTTP/1.1 "):][:3] {
		status = 10*status + int(c-'0')
	}
	return status
}

func head(line string, fields []string) []byte {
	return []byte(strings.Join(append([]string{line}, fields...), "\r\n") + "\r\n\r\n")
}
