package tunnel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/mezusphere/mezu"
)

// FuzzReadFrame feeds bytes of a peer to the reader of frames: it never reads past
// a frame, never accepts what the rules forbid, and gives back what was encoded.
func FuzzReadFrame(f *testing.F) {
	hello := appendHello(nil, token{1, 2, 3}, 4)
	doc, err := statementHead(mezu.Signed{Purpose: mezu.PurposeBundle, KeyID: "k", Payload: []byte("{}"), Signature: []byte("s")})
	if err != nil {
		f.Fatal(err)
	}
	talk, err := appendJSON(nil, frameRegister, register{Protocol: 1, Version: "v", Epoch: 1})
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range [][]byte{
		hello, append(doc, "{}"...), talk,
		appendEmpty(nil, frameHeartbeat), appendCount(nil, frameWant, 1<<32-1), appendCount(nil, frameMissed, 1), appendCount(nil, framePing, 1), appendCount(nil, framePong, 1),
		appendNumber(nil, frameCancel, 1<<63), appendAck(nil, mezu.Position{Epoch: 1, Revision: 2}),
		appendRefused(nil, mezu.Errorf(mezu.CodeInvalid, "no"), time.Second, true),
		{0xff, 0xff, 0xff, 0xff}, {byte(frameStatement), 0x8f, 0xff, 0xff, 1}, {byte(frameAck), 0, 0}, {},
	} {
		f.Add(seed, true)
		f.Add(seed, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, edge bool) {
		from := warpgateSide
		if edge {
			from = edgeSide
		}
		r := bytes.NewReader(data)
		kind, payload, err := readFrame(r, from, make([]byte, 0, 64))
		if err != nil {
			if len(data) == 0 && err != io.EOF {
				t.Fatalf("end between frames: %v", err)
			}
			return
		}
		rule, ok := kind.rule()
		if !ok || rule.sender&from == 0 || len(payload) < rule.min || len(payload) > rule.max {
			t.Fatalf("%v with %d bytes was accepted", kind, len(payload))
		}
		if len(data)-r.Len() != headSize+len(payload) {
			t.Fatalf("%d bytes read for a frame of %d", len(data)-r.Len(), headSize+len(payload))
		}
		if again := append(appendHead(nil, kind, len(payload)), payload...); !bytes.Equal(again, data[:len(again)]) {
			t.Fatal("a frame does not survive decoding and encoding")
		}
		switch kind {
		case frameStatement:
			if doc, err := decodeStatement(payload); err == nil && !bytes.HasSuffix(payload, doc.Payload) {
				t.Fatal("a document's payload is not the frame's")
			}
		case frameRefused:
			if e, err := decodeRefused(payload); err == nil && (!e.Err.Code.Known() || e.RetryAfter < 0) {
				t.Fatalf("refusal %+v", e)
			}
		case frameHello:
			tok, number := decodeHello(payload)
			if !bytes.Equal(appendHello(nil, tok, number)[headSize:], payload) {
				t.Fatal("HELLO does not survive")
			}
		case frameAck:
			if !bytes.Equal(appendAck(nil, decodeAck(payload))[headSize:], payload) {
				t.Fatal("ACK does not survive")
			}
		}
	})
}

func TestReadPayload_RoomFollowsWhatCame(t *testing.T) {
	allocated := testing.AllocsPerRun(10, func() {
		_, err := readPayload(strings.NewReader("few"), nil, maxStatement)
		if err != io.ErrUnexpectedEOF {
			t.Fatal(err)
		}
	})
	buf := make([]byte, 0, 64)
	if _, err := readPayload(strings.NewReader("few"), buf, maxStatement); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Fatal(err)
	}
	if allocated > 4 {
		t.Fatalf("%v allocations for three bytes of a promised 9 MiB", allocated)
	}
	whole := bytes.Repeat([]byte("0123456789"), 100_000)
	got, err := readPayload(bytes.NewReader(whole), buf, len(whole))
	if err != nil || !bytes.Equal(got, whole) {
		t.Fatalf("%d of %d bytes: %v", len(got), len(whole), err)
	}
	if cap(got) > 3*len(whole) {
		t.Fatalf("room for %d bytes, %d came", cap(got), len(whole))
	}
}

func TestDocumentHead_RefusesWhatNoFrameHolds(t *testing.T) {
	for _, doc := range []mezu.Signed{
		{Payload: make([]byte, mezu.MaxSignedPayload+1)},
		{KeyID: strings.Repeat("k", maxStatementHead)},
	} {
		if _, err := statementHead(doc); err == nil {
			t.Error("accepted")
		}
	}
	largest := mezu.Signed{Payload: make([]byte, mezu.MaxSignedPayload)}
	head, err := statementHead(largest)
	if err != nil {
		t.Fatal(err)
	}
	length := int(binary.BigEndian.Uint32(head)) & 0xffffff
	if length != len(head)-headSize+mezu.MaxSignedPayload || maxStatement >= 1<<24 {
		t.Fatalf("length %d in the header", length)
	}
}

func TestRefused_WithoutRoomForItsDetail(t *testing.T) {
	frame := appendRefused(nil, mezu.Errorf(mezu.CodeInvalid, "%s", strings.Repeat("x", 2*maxJSON)), 0, false)
	e, err := decodeRefused(frame[headSize:])
	if err != nil || e.Err.Code != mezu.CodeInvalid || e.Err.Detail != "" {
		t.Fatalf("%+v, %v", e, err)
	}
}
