package edge_test

import (
	"bytes"
	"encoding/binary"
	"strings"
	"sync"
	"testing"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/mezusphere/mezu"
	"github.com/mezusphere/mezu/testkit/frames"
)

// framePriorityUpdate is the type of a frame that x/net has no name for (RFC 9218).
const framePriorityUpdate http2.FrameType = 0x10

// atOnce is how many requests of a connection may run, and a few that have ended at the edge
// and of which the workload has not heard yet.
const atOnce = 100 + 50

// odd is the stream of round i.
func odd(i int) uint32 { return uint32(2*i + 1) }

// held fails the test if more requests ran at once than a connection may have, and waits
// until none does.
func (a *target) held(most int64) {
	a.t.Helper()
	if n := a.most.Swap(0); n > most {
		a.t.Errorf("%d requests of one connection ran at once", n)
	}
	a.quiet()
}

// TestHTTP2Floods: what a client may not do, however much it does, ends with its own
// connection; and who does much that it may is no flood.
func TestHTTP2Floods(t *testing.T) {
	a := newTarget(t, false, mezu.Route{Prefix: "/denied/", DenyIPs: []string{"127.0.0.0/8"}})
	a.each(t, map[string]func(*testing.T, *target){
		"P21_RapidReset": testP21_RapidReset, "P22_MadeYouReset": testP22_MadeYouReset, "P23_Floods": testP23_Floods, "P23_OneLargeHead": testP23_OneLargeHead, "P23_UnknownIsIgnored": testP23_UnknownIsIgnored,
		"P23_NobodyReads": testP23_NobodyReads, "P23_NothingIsAcknowledged": testP23_NothingIsAcknowledged, "BusyClients": testBusyClients,
	})
}

// P21: requests that are reset at once (CVE-2023-44487).
func testP21_RapidReset(t *testing.T, a *target) {
	for name, code := range map[string]http2.ErrCode{"CANCEL": http2.ErrCodeCancel, "NO_ERROR": http2.ErrCodeNo} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.flood(frames.Options{}, nil, func(w *http2.Framer, i int) {
				frames.Headers(w, odd(i), true, a.request("GET", "/hold")...)
				w.WriteRSTStream(odd(i), code)
			})
			a.held(atOnce)
		})
	}
	t.Run("answered by the edge", func(t *testing.T) {
		a.t = t
		a.flood(frames.Options{}, nil, func(w *http2.Framer, i int) {
			frames.Headers(w, odd(i), true, a.request("GET", "/.mezu/login")...)
			w.WriteRSTStream(odd(i), http2.ErrCodeCancel)
		})
	})
	t.Run("a hundred at a time", func(t *testing.T) {
		a.t = t
		a.flood(frames.Options{}, nil, func(w *http2.Framer, i int) {
			for j := range 100 {
				frames.Headers(w, odd(100*i+j), true, a.request("GET", "/hold")...)
			}
			for j := range 100 {
				w.WriteRSTStream(odd(100*i+j), http2.ErrCodeCancel)
			}
		})
		a.held(atOnce)
	})
}

// P22: requests that the edge itself must reset (CVE-2025-8671).
func testP22_MadeYouReset(t *testing.T, a *target) {
	post := func(w *http2.Framer, i int, end bool, more ...string) {
		frames.Headers(w, odd(i), end, a.request("POST", "/hold", more...)...)
	}
	for name, say := range map[string]func(w *http2.Framer, i int){
		"WINDOW_UPDATE of zero":   func(w *http2.Framer, i int) { post(w, i, true); w.WriteWindowUpdate(odd(i), 0) },
		"DATA on half-closed":     func(w *http2.Framer, i int) { post(w, i, true); w.WriteData(odd(i), true, nil) },
		"HEADERS on half-closed":  func(w *http2.Framer, i int) { post(w, i, true); post(w, i, true) },
		"a window that overflows": func(w *http2.Framer, i int) { post(w, i, true); w.WriteWindowUpdate(odd(i), 1<<31-1) },
		"more than content-length": func(w *http2.Framer, i int) {
			post(w, i, false, "content-length", "1")
			w.WriteData(odd(i), true, []byte("xx"))
		},
		"less than content-length": func(w *http2.Framer, i int) {
			post(w, i, false, "content-length", "3")
			w.WriteData(odd(i), true, []byte("xx"))
		},
		"trailers without an end":   func(w *http2.Framer, i int) { post(w, i, false); frames.Headers(w, odd(i), false, "x", "y") },
		"pseudo-fields as trailers": func(w *http2.Framer, i int) { post(w, i, false); frames.Headers(w, odd(i), true, ":path", "/") },
		"PRIORITY on itself": func(w *http2.Framer, i int) {
			post(w, i, true)
			w.WritePriority(odd(i), http2.PriorityParam{StreamDep: odd(i)})
		},
		"HEADERS depending on itself": func(w *http2.Framer, i int) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: odd(i), BlockFragment: frames.Block(a.request("GET", "/hold")...), EndHeaders: true, EndStream: true, Priority: http2.PriorityParam{StreamDep: odd(i), Weight: 1}})
		},
		"malformed requests": func(w *http2.Framer, i int) { post(w, i, true, "connection", "close") },
	} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.flood(frames.Options{}, nil, say)
			a.held(atOnce)
		})
	}
}

// P23: what costs the edge work and its client nothing (CVE-2023-45288 and others).
func testP23_Floods(t *testing.T, a *target) {
	begin := func(path string) func(w *http2.Framer) {
		return func(w *http2.Framer) { frames.Headers(w, 1, false, a.request("POST", path)...) }
	}
	open := func(w *http2.Framer) {
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: frames.Block(a.request("GET", "/x")...), EndStream: true})
	}
	done := func(w *http2.Framer) { frames.Headers(w, 1, true, a.request("GET", "/.mezu/probe?hop=edge")...) }
	padded := bytes.Repeat([]byte{0}, 255)
	large := frames.Block("x-large", strings.Repeat("x", 4000))
	bomb := bomb(a.request("GET", "/x"), 300)
	update := func(stream uint32) []byte { return append(binary.BigEndian.AppendUint32(nil, stream), "u=1, i"...) }
	for name, c := range map[string]struct {
		first func(w *http2.Framer)
		say   func(w *http2.Framer, i int)
		o     frames.Options
	}{
		"empty CONTINUATION":   {first: open, say: func(w *http2.Framer, i int) { w.WriteContinuation(1, false, nil) }},
		"endless CONTINUATION": {first: open, say: func(w *http2.Framer, i int) { w.WriteContinuation(1, false, large) }},
		"CONTINUATION of a byte": {first: func(w *http2.Framer) {
			// A value of a megabyte begins.
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: append(frames.Block(a.request("GET", "/x")...), 0, 1, 'x', 0x7f, 0x81, 0xff, 0x3f), EndStream: true})
		}, say: func(w *http2.Framer, i int) { w.WriteContinuation(1, false, []byte("x")) }},
		"empty DATA":              {first: begin("/x"), say: func(w *http2.Framer, i int) { w.WriteData(1, false, nil) }},
		"padding alone":           {first: begin("/x"), say: func(w *http2.Framer, i int) { w.WriteDataPadded(1, false, nil, padded) }},
		"DATA on a closed stream": {first: done, say: func(w *http2.Framer, i int) { w.WriteData(1, false, nil) }},
		"SETTINGS":                {say: func(w *http2.Framer, i int) { w.WriteSettings() }},
		"SETTINGS of windows": {first: func(w *http2.Framer) {
			for i := range 100 {
				frames.Headers(w, odd(i), true, a.request("GET", "/hold")...)
			}
		}, say: func(w *http2.Framer, i int) {
			w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i % 2 * 65_535)})
		}},
		"SETTINGS of a hundred": {say: func(w *http2.Framer, i int) {
			w.WriteSettings(make([]http2.Setting, 100)...)
		}},
		"acknowledged SETTINGS":            {say: func(w *http2.Framer, i int) { w.WriteSettingsAck() }},
		"PING":                             {say: func(w *http2.Framer, i int) { w.WritePing(false, [8]byte{byte(i)}) }},
		"answers to no PING":               {say: func(w *http2.Framer, i int) { w.WritePing(true, [8]byte{byte(i)}) }},
		"PRIORITY":                         {say: func(w *http2.Framer, i int) { w.WritePriority(odd(i), http2.PriorityParam{Weight: byte(i)}) }},
		"PRIORITY_UPDATE":                  {say: func(w *http2.Framer, i int) { w.WriteRawFrame(framePriorityUpdate, 0, 0, update(odd(i))) }},
		"unknown frames":                   {say: func(w *http2.Framer, i int) { w.WriteRawFrame(http2.FrameType(0x11+i%100), 0xff, uint32(i), nil) }},
		"WINDOW_UPDATE":                    {say: func(w *http2.Framer, i int) { w.WriteWindowUpdate(0, 1) }},
		"WINDOW_UPDATE of a closed stream": {first: done, say: func(w *http2.Framer, i int) { w.WriteWindowUpdate(1, 1) }},
		"RST_STREAM of a closed stream":    {first: done, say: func(w *http2.Framer, i int) { w.WriteRSTStream(1, http2.ErrCodeCancel) }},
		"GOAWAY":                           {say: func(w *http2.Framer, i int) { w.WriteGoAway(0, http2.ErrCodeNo, nil) }},
		"HPACK bomb": {say: func(w *http2.Framer, i int) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: odd(i), BlockFragment: bomb, EndHeaders: true, EndStream: true})
		}},
		"large heads": {say: func(w *http2.Framer, i int) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: odd(i), BlockFragment: frames.Block(a.request("GET", "/x")...), EndStream: true})
			for j := range 30 {
				w.WriteContinuation(odd(i), j == 29, large)
			}
		}},
		"refused streams": {say: func(w *http2.Framer, i int) { frames.Headers(w, odd(i), true, a.request("GET", "/hold")...) }},
		"streams without an end": {say: func(w *http2.Framer, i int) {
			frames.Headers(w, odd(i), false, a.request("POST", "/.mezu/nothing")...)
		}},
		"windows of zero": {o: frames.Options{Settings: []http2.Setting{{ID: http2.SettingInitialWindowSize, Val: 0}}},
			say: func(w *http2.Framer, i int) {
				if i < 300 {
					frames.Headers(w, odd(i), true, a.request("GET", "/endless")...)
				}
			}},
	} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			a.flood(c.o, c.first, c.say)
			a.held(atOnce)
		})
	}
}

// bomb is a head that is small, and large once it is decoded: n times a field of the table.
func bomb(request []string, n int) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(request); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: request[i], Value: request[i+1]})
	}
	for range n + 1 {
		enc.WriteField(hpack.HeaderField{Name: "x-bomb", Value: strings.Repeat("x", 4000)})
	}
	return b.Bytes()
}

// P23: one bomb is answered as any head that is too large is, and the connection goes on.
func testP23_OneLargeHead(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	large := frames.Block("x-large", strings.Repeat("x", 4000)) // of which few enough come to be read to the end
	before := a.asked.Load()
	c.Send(func(w *http2.Framer) {
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: bomb(a.request("GET", "/x"), 300), EndHeaders: true, EndStream: true})
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: frames.Block(a.request("GET", "/x")...), EndStream: true})
		for j := range 12 {
			w.WriteContinuation(3, j == 11, large)
		}
	})
	a.get(c, 5, "/after")
	for id, want := range map[uint32]string{1: "431", 3: "431", 5: "200"} {
		if got := c.End(id); got != want {
			t.Errorf("stream %d ended with %s, not %s: %v", id, got, want, c)
		}
	}
	if n := a.asked.Load() - before; n != 1 {
		t.Errorf("%d requests reached the workload", n)
	}
}

// P23: types of frames and settings that nobody knows are passed over (CVE-2026-27141).
func testP23_UnknownIsIgnored(t *testing.T, a *target) {
	c := a.client(frames.Options{Settings: []http2.Setting{{ID: 0x0a0a, Val: 1}, {ID: 0xffff, Val: 1<<32 - 1}, {ID: 0x10, Val: 7}}})
	c.Send(func(w *http2.Framer) {
		for kind := http2.FrameType(0x0a); kind <= 0x0f; kind++ {
			w.WriteRawFrame(kind, 0xff, 0, []byte("anything"))
			w.WriteRawFrame(kind, 0, 1, nil)
			w.WriteRawFrame(kind, 0, 1<<31, bytes.Repeat([]byte{0xff}, 1<<14))
		}
	})
	a.get(c, 1, "/x")
	if got := c.End(1); got != "200" {
		t.Errorf("%s: %v", got, c)
	}
}

// P23: a client that reads nothing and asks for answers.
func testP23_NobodyReads(t *testing.T, a *target) {
	for name, say := range map[string]func(w *http2.Framer, i int){
		"PING":     func(w *http2.Framer, i int) { w.WritePing(false, [8]byte{}) },
		"SETTINGS": func(w *http2.Framer, i int) { w.WriteSettings() },
		"requests": func(w *http2.Framer, i int) { frames.Headers(w, odd(i), true, a.request("GET", "/.mezu/nothing")...) },
		"resets": func(w *http2.Framer, i int) {
			frames.Headers(w, odd(i), true, a.request("GET", "/x", "connection", "close")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			a.t = t
			const memory = 24 << 20
			c := a.client(frames.Options{Deaf: true})
			a.flat(memory, func() {
				var beside sync.WaitGroup
				defer beside.Wait()
				beside.Go(func() {
					for range 3 {
						a.alive()
					}
				})
				ended := false
				for i := 0; i < 400_000 && !ended; i += 100 {
					ended = c.Send(func(w *http2.Framer) {
						for j := range 100 {
							say(w, i+j)
						}
					}) != nil
				}
				if !ended {
					t.Error("the edge goes on reading what it can't answer")
				}
			})
		})
	}
}

// P23: a client that never acknowledges what the edge has set is served, and may not more
// than others.
func testP23_NothingIsAcknowledged(t *testing.T, a *target) {
	c := a.client(frames.Options{Silent: true})
	c.Send(func(w *http2.Framer) { w.WriteSettings() })
	a.get(c, 1, "/x")
	if got := c.End(1); got != "200" {
		t.Errorf("%s: %v", got, c)
	}
	c.Headers(3, false, a.request("POST", "/x")...)
	c.Send(func(w *http2.Framer) { w.WriteRawFrame(http2.FrameData, 0, 3, make([]byte, 1<<14+1)) })
	if code, _, err := c.Away(within); err != nil || code != http2.ErrCodeFrameSize {
		t.Errorf("%v, %v: %v", code, err, c)
	}
}

// P23: frames that are begun and not ended, and heads, cost a connection its life in the
// time of a head, however many do so.
func testP23_HalfFrames(t *testing.T, a *target) {
	before := a.asked.Load()
	head := frames.Block(a.request("GET", "/x")...)
	frame := func(say func(w *http2.Framer)) []byte {
		var b bytes.Buffer
		f := http2.NewFramer(&b, nil)
		f.AllowIllegalWrites = true
		say(f)
		return b.Bytes()
	}
	whole := frame(func(w *http2.Framer) {
		w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndHeaders: true, EndStream: true})
	})
	halves := map[string][]byte{
		"no preface":     {},
		"half a preface": []byte(http2.ClientPreface)[:10],
		"no SETTINGS":    []byte(http2.ClientPreface),
		"half a header":  append([]byte(http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), whole[:5]...),
		"a header":       append([]byte(http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), whole[:9]...),
		"half a head":    append([]byte(http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), whole[:len(whole)/2]...),
		"no CONTINUATION": append([]byte(http2.ClientPreface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), frame(func(w *http2.Framer) {
			w.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head, EndStream: true})
		})...),
		"half a PING":   []byte(http2.ClientPreface + "\x00\x00\x00\x04\x00\x00\x00\x00\x00" + "\x00\x00\x08\x06\x00\x00\x00\x00\x00half"),
		"half SETTINGS": []byte(http2.ClientPreface + "\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03"),
	}
	const memory, each = 24 << 20, 5
	var all []*frames.Conn
	var names []string
	a.flat(memory, func() {
		for name, half := range halves {
			for range each {
				c := a.client(frames.Options{Raw: true})
				c.Write(half)
				all, names = append(all, c), append(names, name)
			}
		}
		a.alive()
		for i, c := range all {
			if !c.Closed() {
				t.Errorf("%s: %v", names[i], c)
			} else if strings.HasPrefix(names[i], "half a head") {
				if code, _, err := c.Away(within); err != nil || code != http2.ErrCodeEnhanceYourCalm {
					t.Errorf("%s: %v, %v", names[i], code, err)
				}
			}
		}
	})
	a.alive()
	if n := a.asked.Load() - before; n != 2 {
		t.Errorf("%d requests reached the workload", n)
	}
}

// P16: over HTTP/2 there is no upgrade; over HTTP/1.1 h2c is not spoken, and the workload is
// not asked to.
func testP16_NoH2C(t *testing.T, a *target) {
	c := a.client(frames.Options{})
	a.get(c, 1, "/two", "upgrade", "h2c")
	a.get(c, 3, "/two", "http2-settings", "AAMAAABkAARAAAAAAAIAAAAA")
	a.get(c, 5, "/two", "connection", "upgrade, http2-settings")
	if got := c.End(1) + " " + c.End(3) + " " + c.End(5); got != "PROTOCOL_ERROR PROTOCOL_ERROR PROTOCOL_ERROR" {
		t.Errorf("%s: %v", got, c)
	}
	conn := a.dial("http/1.1")
	conn.Write([]byte("GET /one HTTP/1.1\r\nHost: " + a.host + "\r\nConnection: Upgrade, HTTP2-Settings, close\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n"))
	var answer bytes.Buffer
	answer.ReadFrom(conn)
	if !strings.HasPrefix(answer.String(), "HTTP/1.1 200 ") {
		t.Errorf("%.200q", answer.String())
	}
	if wire := strings.ToLower(a.wire.String()); strings.Contains(wire, "h2c") || strings.Contains(wire, "http2-settings") {
		t.Errorf("the workload is asked for h2c: %q", wire)
	}
	// Nor is HTTP/2 spoken where HTTP/1.1 was agreed on.
	plain := a.dial("http/1.1")
	p := frames.Client(t, plain, frames.Options{})
	if !p.Closed() || p.Frames() > 0 {
		t.Errorf("HTTP/2 is spoken unasked: %v", p)
	}
}
