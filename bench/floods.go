package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// Parts of the names of figures about floods.
const (
	beforeFlood, besideFlood = "alone before ", "beside "

	endSuffix   = ": ms until GOAWAY or the end"
	calmSuffix  = ": GOAWAY ENHANCE_YOUR_CALM, of 1"
	peakSuffix  = ": MiB more at the peak"
	coresSuffix = ": cores"
)

const (
	// floodTick lies between two batches of a flood.
	floodTick = 10 * time.Millisecond
	// Frames that cost their sender next to nothing come at 100,000 a second, requests at
	// 10,000 (P21), and bombs at 100.
	cheapFrames, resetRequests = 1000, 100
	// floodRest is how long a client whose connection was ended waits before the next one,
	// so that what is measured are its frames and not its handshakes.
	floodRest = 100 * time.Millisecond
	// bombFields is how often one field of bombField bytes is named in the head of a bomb,
	// each time by one byte.
	bombFields, bombField = 15_000, 4000
	firstDynamic          = 0x80 | 62
	// zeroWindows is how many downloads are asked for without a window, each of zeroWindow
	// bytes: more than is to wait in memory, and not what fills the kernel's buffers.
	zeroWindows, zeroWindow = 300, 256 << 10
	// floodAddress is where floods come from; whoever is timed beside them has another
	// address.
	floodAddress = "127.0.0.2"
)

// floodKind is what one client sends: a batch a tick, of which n counts those of a connection.
type floodKind struct {
	name  string
	batch func(f *flooder, n int)
}

var floods = []floodKind{
	{"rapid reset", func(f *flooder, _ int) {
		for range resetRequests {
			f.WriteRSTStream(f.request(true, "GET", pathSmall), http2.ErrCodeCancel)
		}
	}},
	{"made-you-reset", func(f *flooder, _ int) {
		for range resetRequests {
			f.WriteRawFrame(http2.FrameWindowUpdate, 0, f.request(true, "GET", pathSmall), make([]byte, 4))
		}
	}},
	{"PING", func(f *flooder, _ int) {
		for range cheapFrames {
			f.WritePing(false, [8]byte{})
		}
	}},
	{"SETTINGS", func(f *flooder, _ int) {
		for range cheapFrames {
			f.WriteSettings()
		}
	}},
	{"empty DATA", func(f *flooder, n int) {
		if n == 0 {
			f.request(false, "POST", pathSink, "content-length", "1000")
		}
		for range cheapFrames {
			f.WriteData(f.stream(), false, nil)
		}
	}},
	{"CONTINUATION", func(f *flooder, n int) {
		if n == 0 {
			f.begun++
			f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream(), BlockFragment: f.fields("GET", pathSmall), EndStream: true})
		}
		for range cheapFrames {
			f.WriteContinuation(f.stream(), false, nil)
		}
	}},
	{"PRIORITY", func(f *flooder, _ int) {
		for range cheapFrames {
			f.WritePriority(1, http2.PriorityParam{Weight: 1})
		}
	}},
	{"HPACK bomb", func(f *flooder, _ int) {
		head := f.fields("GET", pathSmall, "x", strings.Repeat("x", bombField))
		head = append(head, bytes.Repeat([]byte{firstDynamic}, bombFields)...)
		f.begun++
		f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream(), BlockFragment: head[:frameBody/2], EndStream: true})
		f.WriteContinuation(f.stream(), true, head[frameBody/2:])
	}},
	{"zero windows", func(f *flooder, n int) {
		if n > 0 {
			return
		}
		f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0})
		for range zeroWindows {
			f.request(true, "GET", pathBytes+strconv.Itoa(zeroWindow))
		}
	}},
}

// takeFloods is what small requests of another client, on another connection from another
// address, take right before each flood and beside it.
func takeFloods(ctx context.Context, b *bench, round int) error {
	return b.inTurn(ctx, round, func(t target) bool { return t.h2 && len(t.procs) > 0 }, func(t target) error {
		c, err := dialH2(ctx, t)
		if err != nil {
			return err
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Duration(len(floods)) * (2*b.o.length + answerTime)))
		for _, f := range floods {
			if err := b.takeFlood(ctx, round, t, c, f.name); err != nil {
				return fmt.Errorf("%s%s: %w", besideFlood, f.name, err)
			}
		}
		return nil
	})
}

func (b *bench) takeFlood(ctx context.Context, round int, t target, c *h2conn, name string) error {
	alone, err := smallRequestsH2(ctx, c, b.o.length)
	if err != nil {
		return err
	}
	putPercentiles(b, round, "floods", t.name, beforeFlood+name, alone)
	front := t.procs[0]
	before, err := front.rss()
	if err == nil {
		err = front.resetPeak()
	}
	if err != nil {
		return err
	}
	begin := time.Now()
	used, err := t.usage()
	if err != nil {
		return err
	}
	p, err := start(b.dir, "flood", true, nil, b.self, "flood", "-addr", t.addr, "-host", t.host, "-name", name, "-for", (b.o.length + rampTime).String())
	if err != nil {
		return err
	}
	defer p.stop()
	if _, err := p.line(); err != nil {
		p.discard()
		return err
	}
	took, err := smallRequestsH2(ctx, c, b.o.length)
	usageErr := b.putCPU(round, "floods", besideFlood+name+coresSuffix, t, used, time.Since(begin).Seconds())
	said, lineErr := p.line()
	p.discard()
	if err := errors.Join(err, usageErr, lineErr); err != nil {
		return err
	}
	put := func(suffix string, v float64) { b.results.put(round, "floods", t.name, besideFlood+name+suffix, v) }
	putPercentiles(b, round, "floods", t.name, besideFlood+name, took)
	var longest, calm float64
	if _, err := fmt.Sscan(said, &longest, &calm); err != nil {
		return err
	}
	put(endSuffix, longest)
	put(calmSuffix, calm)
	if t.name != nameNginx { // whose workers hold its connections
		peak, err := front.peak()
		if err != nil {
			return err
		}
		put(peakSuffix, (peak-before)/(1<<10))
	}
	return pauseFor(ctx, rampTime) // what is measured next has nothing of its end
}

// flooder writes the frames of one connection.
type flooder struct {
	*http2.Framer
	t     target
	out   bytes.Buffer
	block bytes.Buffer
	begun uint32 // streams
}

// fields is a head that names nothing of a table that was there before.
func (f *flooder) fields(method, path string, more ...string) []byte {
	f.block.Reset()
	enc := hpack.NewEncoder(&f.block)
	all := append([]string{":method", method, ":scheme", "https", ":authority", f.t.authority(), ":path", path}, more...)
	for i := 0; i < len(all); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: all[i], Value: all[i+1]})
	}
	return bytes.Clone(f.block.Bytes())
}

// request begins a stream and gives its number.
func (f *flooder) request(last bool, method, path string, more ...string) uint32 {
	f.begun++
	f.WriteHeaders(http2.HeadersFrameParam{StreamID: f.stream(), BlockFragment: f.fields(method, path, more...), EndStream: last, EndHeaders: true})
	return f.stream()
}

// stream is the number of the latest one.
func (f *flooder) stream() uint32 { return 2*f.begun - 1 }

// runFlood is a client that floods, with a new connection whenever one was ended. It says
// when it begins, and in the end how many milliseconds the longest of its connections
// lasted until GOAWAY or its end (+Inf if one was never told), and the share of those ended
// that were told ENHANCE_YOUR_CALM.
func runFlood(ctx context.Context, args []string, out io.Writer) error {
	f := flag.NewFlagSet("flood", flag.ContinueOnError)
	t := target{secure: true, from: &net.TCPAddr{IP: net.ParseIP(floodAddress)}}
	f.StringVar(&t.addr, "addr", "", "")
	f.StringVar(&t.host, "host", "", "")
	name, length := f.String("name", "", ""), f.Duration("for", time.Second, "")
	if err := f.Parse(args); err != nil {
		return err
	}
	i := slices.IndexFunc(floods, func(f floodKind) bool { return f.name == *name })
	if i < 0 {
		return fmt.Errorf("no flood is called %q", *name)
	}
	fmt.Fprintln(out, "begins")
	ctx, cancel := context.WithTimeout(ctx, *length)
	defer cancel()
	longest, calm, ended := 0.0, 0.0, 0.0
	for ctx.Err() == nil {
		end, err := floodOnce(ctx, t, floods[i])
		if err != nil {
			return err
		}
		switch {
		case end.at > 0:
			longest = max(longest, milliseconds(end.at))
			ended++
		case ended == 0: // the first one lasted all the time
			longest = math.Inf(1)
		}
		if end.code == http2.ErrCodeEnhanceYourCalm {
			calm++
		}
		if pauseFor(ctx, floodRest) != nil {
			break
		}
	}
	_, err := fmt.Fprintln(out, strconv.FormatFloat(longest, 'g', -1, 64), calm/max(ended, 1))
	return err
}

// floodEnd is how a connection ended: after how long, zero if it did not, and with which
// code if it was told one.
type floodEnd struct {
	at   time.Duration
	code http2.ErrCode
}

// floodOnce floods over one connection until it ends or ctx does. A client that floods does
// not stop at GOAWAY.
func floodOnce(ctx context.Context, t target, kind floodKind) (floodEnd, error) {
	conn, err := dialTLS(ctx, t, protocolH2)
	if err != nil {
		if ctx.Err() != nil {
			return floodEnd{}, nil
		}
		return floodEnd{}, err
	}
	f := &flooder{t: t}
	f.Framer = http2.NewFramer(&f.out, nil)
	f.AllowIllegalWrites = true
	f.out.WriteString(http2.ClientPreface)
	f.WriteSettings()
	begin := time.Now()
	gone := make(chan floodEnd, 1)
	go func() { gone <- awaitGoaway(conn, begin) }()
	hungUp := context.AfterFunc(ctx, func() { conn.Close() })
	defer hungUp()
	tick := time.NewTicker(floodTick)
	defer tick.Stop()
	for n := 0; ctx.Err() == nil; n++ {
		kind.batch(f, n)
		_, err := conn.Write(f.out.Bytes())
		f.out.Reset()
		if err != nil {
			break
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
	timed := ctx.Err() != nil
	conn.Close()
	end := <-gone
	if timed && end.code == notTold {
		return floodEnd{}, nil
	}
	return end, nil
}

// notTold stands for a connection that ended without a GOAWAY.
const notTold = http2.ErrCode(math.MaxUint32)

// awaitGoaway reads until the connection ends.
func awaitGoaway(conn net.Conn, begin time.Time) floodEnd {
	r := bufio.NewReaderSize(conn, frameBody)
	end := floodEnd{code: notTold}
	for {
		var head [frameHead + 8]byte
		if _, err := io.ReadFull(r, head[:frameHead]); err != nil {
			if end.at == 0 {
				end.at = time.Since(begin)
			}
			return end
		}
		length := int(binary.BigEndian.Uint32(head[:]) >> 8)
		if http2.FrameType(head[3]) == http2.FrameGoAway && length >= 8 && end.at == 0 {
			if _, err := io.ReadFull(r, head[frameHead:]); err == nil {
				end = floodEnd{time.Since(begin), http2.ErrCode(binary.BigEndian.Uint32(head[frameHead+4:]))}
			}
			length -= 8
		}
		if _, err := r.Discard(length); err != nil && end.at == 0 {
			end.at = time.Since(begin)
		}
	}
}
