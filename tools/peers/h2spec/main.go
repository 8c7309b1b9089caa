// Command h2spec runs the tests of h2spec, all of them and the strict ones, against a server behind TLS
// that is reached under a name which no resolver knows. It writes a line of JSON for each.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
	"golang.org/x/net/dns/dnsmessage"
)

// result is what is written of a test.
type result struct {
	ID          string // as generic/3.5/1
	Description string
	Requirement string
	Failed      bool
	Skipped     bool
	Error       string
}

func main() {
	c := &config.Config{TLS: true, Insecure: true, Strict: true}
	flag.StringVar(&c.Host, "host", "", "name of the server, which listens on 127.0.0.1")
	flag.IntVar(&c.Port, "port", 443, "")
	flag.StringVar(&c.Path, "path", "/", "what requests ask for")
	flag.DurationVar(&c.Timeout, "timeout", 2*time.Second, "how long a test waits for what is to come, and for what is not")
	flag.IntVar(&c.MaxHeaderLen, "max-header", 4000, "length of the dummy fields")
	flag.Parse()
	c.Sections = flag.Args()
	out := json.NewEncoder(os.Stdout)
	os.Stdout = os.Stderr // h2spec talks
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ask, answer := net.Pipe()
		go serve(answer)
		return ask, nil
	}}
	for _, group := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		group.Test(c)
		if err := write(out, group); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// write writes the results of a group and of those below it.
func write(out *json.Encoder, group *spec.TestGroup) error {
	for _, t := range append(group.Tests, group.StrictTests...) {
		r := t.Result
		if r == nil {
			continue
		}
		line := result{ID: fmt.Sprintf("%s/%d", group.ID(), r.Sequence), Description: t.Desc, Requirement: t.Requirement,
			Failed: r.Failed, Skipped: r.Skipped}
		if r.Error != nil {
			line.Error = r.Error.Error()
		}
		if err := out.Encode(line); err != nil {
			return err
		}
	}
	for _, g := range group.Groups {
		if err := write(out, g); err != nil {
			return err
		}
	}
	return nil
}

// serve answers one question of a resolver, as over TCP: every name is this machine.
func serve(conn net.Conn) {
	defer conn.Close()
	head := make([]byte, 2)
	if _, err := io.ReadFull(conn, head); err != nil {
		return
	}
	question := make([]byte, int(head[0])<<8|int(head[1]))
	if _, err := io.ReadFull(conn, question); err != nil {
		return
	}
	var m dnsmessage.Message
	if m.Unpack(question) != nil {
		return
	}
	m.Response, m.Additionals = true, nil
	for _, q := range m.Questions {
		if q.Type == dnsmessage.TypeA {
			m.Answers = append(m.Answers, dnsmessage.Resource{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}, Body: &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}}})
		}
	}
	packed, err := m.Pack()
	if err == nil {
		conn.Write(append([]byte{byte(len(packed) >> 8), byte(len(packed))}, packed...))
	}
}
