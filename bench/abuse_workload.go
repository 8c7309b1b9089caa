package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Names of figures about workloads of HTTP/2.
const (
	figSlowReader  = "KiB per slow reader: "
	figFailedPosts = "failed of 4,000 POSTs"
	nameStock      = "net/http's client"
)

// Schemes of the workload beside which slow readers are put.
var slowSchemes = []string{"http", "h2c", "https"}

const (
	// slowReaders begin a download and read its head, at edge and Warpgate alike.
	slowReaders = 60
	// slowRest is how long the measure waits for memory to stop changing.
	slowRest = 2 * time.Second
	// posts are made by postClients, each one after the other.
	posts       = 4000
	postClients = 32
	postBody    = "7 bytes"
	// The moody workload refuses one stream in refusedOf. After one request in drainedOf
	// it ends the connection without serving the stream, and after one in brokenOf while
	// streams are being served.
	refusedOf = 100
	drainedOf = 200
	brokenOf  = 200
	// drainTime is how long it keeps a connection that it said to end.
	drainTime = 50 * time.Millisecond
)

// takeSlowReaders is what a reader who takes nothing costs edge and Warpgate, by the
// version of HTTP that the workload speaks.
func takeSlowReaders(ctx context.Context, b *bench, round int) error {
	return b.besideWorkloads(ctx, round, "slowreaders", slowSchemes, func(ctx context.Context, name, scheme string, t target) error {
		before, err := t.resident()
		if err != nil {
			return err
		}
		end, err := openReaders(ctx, t)
		defer end()
		if err != nil {
			return err
		}
		select {
		case <-time.After(slowRest):
		case <-ctx.Done():
			return ctx.Err()
		}
		after, err := t.resident()
		if err != nil {
			return err
		}
		b.results.put(round, "slowreaders", name, figSlowReader+scheme, (after-before)/slowReaders)
		return nil
	})
}

// openReaders begins downloads, each on a connection of HTTP/1.1, and takes nothing of them.
func openReaders(ctx context.Context, t target) (end func(), err error) {
	var conns []*conn
	end = func() {
		for _, c := range conns {
			c.Close()
		}
	}
	for range slowReaders {
		c, err := dial(ctx, t)
		if err != nil {
			return end, err
		}
		conns = append(conns, c)
		c.SetDeadline(time.Now().Add(answerTime))
		if _, err := c.Write(t.head("GET", pathEndless, "")); err != nil {
			return end, err
		}
		if _, err := c.answer(200); err != nil {
			return end, err
		}
	}
	return end, nil
}

// takeRefusals is how many POSTs fail before a workload that refuses streams and ends
// connections now and then, through edge and Warpgate and by net/http's client that
// asks it directly.
func takeRefusals(ctx context.Context, b *bench, round int) error {
	err := b.besideWorkloads(ctx, round, "refusals", []string{schemeMoody}, func(ctx context.Context, name, _ string, t target) error {
		client := &http.Client{Timeout: cellTime, Transport: &http.Transport{ForceAttemptHTTP2: true, MaxIdleConnsPerHost: postClients, DialContext: dialTo(t.addr),
			TLSClientConfig: &tls.Config{ServerName: t.host, InsecureSkipVerify: true}}}
		b.results.put(round, "refusals", name, figFailedPosts, failedPosts(ctx, client, "https://"+t.authority()+pathSink))
		return nil
	})
	p, line, startErr := b.startHelper("h2workload", "-cert", b.pair.cert, "-key", b.pair.key)
	if startErr != nil {
		return errors.Join(err, startErr)
	}
	defer p.stop()
	addrs := strings.Fields(line)
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{Timeout: cellTime, Transport: &http.Transport{Protocols: protocols}}
	b.results.put(round, "refusals", nameStock, figFailedPosts, failedPosts(ctx, client, "http://"+addrs[2]+pathSink))
	return err
}

// dialTo dials one address whatever is asked for.
func dialTo(addr string) func(context.Context, string, string) (net.Conn, error) {
	return func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, addr)
	}
}

// failedPosts counts those of posts that are not answered with 200.
func failedPosts(ctx context.Context, client *http.Client, url string) float64 {
	defer client.CloseIdleConnections()
	var left, failed atomic.Int64
	left.Store(posts)
	var clients sync.WaitGroup
	for range postClients {
		clients.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(postBody))
				if err == nil {
					err = post(client, req)
				}
				if err != nil {
					failed.Add(1)
				}
			}
		})
	}
	clients.Wait()
	return float64(failed.Load())
}

func post(client *http.Client, req *http.Request) error {
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("the answer is %d", resp.StatusCode)
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// schemeMoody stands for the workload that refuses.
const schemeMoody = "moody"

// besideWorkloads gives take a Warpgate of each kind of workload, of ours and of the
// build before. Each has an environment of its own.
func (b *bench) besideWorkloads(ctx context.Context, round int, measure string, schemes []string, take func(ctx context.Context, name, scheme string, t target) error) error {
	if !b.have() {
		return errNotOurs
	}
	p, line, err := b.startHelper("h2workload", "-cert", b.pair.cert, "-key", b.pair.key)
	if err != nil {
		return err
	}
	defer p.stop()
	addrs := strings.Fields(line)
	upstreams := map[string]string{"http": addrs[0], "h2c": "h2c://" + addrs[0], "https": "https://" + addrs[1], schemeMoody: "h2c://" + addrs[2]}
	for name, in := range b.installations() {
		for _, scheme := range schemes {
			w, t, err := in.addWorkload(ctx, fmt.Sprintf("%s-%s-%d", measure, scheme, round), upstreams[scheme])
			if err != nil {
				return err
			}
			if _, err = awaitServed(ctx, t); err == nil {
				err = take(ctx, name, scheme, t)
			}
			w.stop()
			if err != nil {
				return fmt.Errorf("%s to %s: %w\nWarpgate: %s", name, scheme, err, w.tail())
			}
		}
	}
	return nil
}

// awaitServed waits for the first good answer, which the moody workload may refuse.
func awaitServed(ctx context.Context, t target) (time.Time, error) {
	var last error
	for deadline := time.Now().Add(startTime); time.Now().Before(deadline) && ctx.Err() == nil; time.Sleep(pollPause) {
		if last = once(ctx, t, t.head("GET", pathSmall, "")); last == nil {
			return time.Now(), nil
		}
	}
	return time.Time{}, errors.Join(ctx.Err(), last)
}

// resident is the memory of all processes of a target in KiB.
func (t target) resident() (sum float64, err error) {
	for _, p := range t.procs {
		n, err := p.rss()
		if err != nil {
			return 0, err
		}
		sum += n
	}
	return sum, nil
}

// runH2Workload is a workload that speaks HTTP/1.1 and HTTP/2, plain and with TLS, and a
// moody one of h2c. It says their addresses.
func runH2Workload(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("h2workload", flag.ContinueOnError)
	pair, err := parseWithPair(f, args)
	if err != nil {
		return err
	}
	var listeners []net.Listener
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return err
		}
		defer l.Close()
		listeners = append(listeners, l)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(serveH2Workload), TLSConfig: &tls.Config{Certificates: []tls.Certificate{pair}},
		ReadHeaderTimeout: answerTime, ErrorLog: log.New(io.Discard, "", 0)}
	go server.Serve(listeners[0])
	go server.ServeTLS(listeners[1], "", "")
	go acceptMoody(listeners[2])
	fmt.Fprintln(out, listeners[0].Addr(), listeners[1].Addr(), listeners[2].Addr())
	<-ctx.Done()
	return server.Close()
}

func serveH2Workload(w http.ResponseWriter, r *http.Request) {
	if !strings.HasPrefix(r.URL.Path, pathBytes) {
		w.Write(bytes.Repeat([]byte("x"), smallSize))
		return
	}
	w.Header().Set("Content-Length", filepath.Base(r.URL.Path))
	for block := make([]byte, copySize); ; {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

func acceptMoody(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go serveMoody(c)
	}
}

// serveMoody answers each request at its end, or does not.
func serveMoody(conn net.Conn) {
	defer conn.Close()
	if _, err := io.CopyN(io.Discard, conn, int64(len(http2.ClientPreface))); err != nil {
		return
	}
	f := http2.NewFramer(conn, conn)
	f.WriteSettings()
	var head bytes.Buffer
	fields := hpack.NewEncoder(&head)
	fields.WriteField(hpack.HeaderField{Name: ":status", Value: "200"})
	// Not in the table of the connection: the same bytes serve all of them.
	fields.WriteField(hpack.HeaderField{Name: "content-length", Value: "0", Sensitive: true})
	last := uint32(0) // the highest stream that was served; those above it are not any more once draining
	draining := false
	for {
		frame, err := f.ReadFrame()
		if err != nil {
			return
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				f.WriteSettingsAck()
			}
			continue
		case *http2.PingFrame:
			if !frame.IsAck() {
				f.WritePing(true, frame.Data)
			}
			continue
		case *http2.DataFrame:
			if n := uint32(len(frame.Data())); n > 0 {
				f.WriteWindowUpdate(0, n)
			}
		}
		id := frame.Header().StreamID
		ended := frame.Header().Flags.Has(http2.FlagDataEndStream) // the same bit in HEADERS
		if !ended || id == 0 || frame.Header().Type != http2.FrameData && frame.Header().Type != http2.FrameHeaders {
			continue
		}
		switch {
		case draining:
		case rand.IntN(refusedOf) == 0:
			f.WriteRSTStream(id, http2.ErrCodeRefusedStream)
		case rand.IntN(drainedOf) == 0:
			draining = true
			f.WriteGoAway(last, http2.ErrCodeNo, nil)
			conn.SetReadDeadline(time.Now().Add(drainTime))
		case rand.IntN(brokenOf) == 0:
			f.WriteGoAway(max(id, last), http2.ErrCodeNo, nil)
			return
		default:
			last = max(last, id)
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: head.Bytes(), EndHeaders: true})
			f.WriteData(id, true, nil)
		}
	}
}
